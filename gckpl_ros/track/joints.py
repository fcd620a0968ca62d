"""The joints of tracked people over time: speed per joint, which side is left, bones of constant length.

Trunk and joints have a filter each: the trunk's middle moves as people walk, joints move about it. What a measurement
is worth its confidence says. Nothing waits for the future, so that nothing comes later than without a filter.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from gckpl_ros.geometry import facing
from gckpl_ros.skeleton import CONNECTORS, INDEX, KEYPOINTS, LIMBS, MIRROR, NUM_KEYPOINTS
from gckpl_ros.track.motion import Dynamics, Motion

Keypoints = Float64[np.ndarray, "n 14 3"]
Confidence = Float64[np.ndarray, "n 14"]

# Points of the filter: where the person is, which goes on steadily; the middle of the trunk, which sways with the
# steps; each keypoint as seen from there. Constants were chosen on streets of this simulator and of another one.
_AGILITY: Final = {"shoulder": 0.6, "hip": 0.6, "center": 0.6, "nose": 0.6, "elbow": 3.8, "knee": 3.8}
_AGILITY_OF_ENDS: Final = 9.0  # wrists and ankles
_PLACE_VARIANCE_M2: Final = 0.1**2


def _dynamics(place: float, trunk: float, joints: float | list[float]) -> Float64[np.ndarray, "16"]:
    return np.concatenate(([place, trunk], np.broadcast_to(joints, NUM_KEYPOINTS)))


DYNAMICS: Final = Dynamics(
    agility=_dynamics(0.4, 3.1, [_AGILITY.get(name.split("_")[-1], _AGILITY_OF_ENDS) for name in KEYPOINTS]),
    fades_s=_dynamics(30.0, 2.4, 0.3),
    speed_mps=_dynamics(1.5, 1.5, 0.66),
    gate=_dynamics(9.0, 8.0, 8.0),
)
STD_M, STD_SURE_M = 0.08, 0.007  # of a keypoint without confidence, and of one that is sure

_LEFT: Final = [INDEX["left_shoulder"], INDEX["left_hip"]]
_RIGHT: Final = [INDEX["right_shoulder"], INDEX["right_hip"]]
_TRUNK: Final = _LEFT + _RIGHT
_MIRROR: Final = np.array(MIRROR)
_MIRROR_POINTS: Final = np.concatenate(([0, 1], 2 + _MIRROR))


def trunks(keypoints: Keypoints) -> Float64[np.ndarray, "n 3"]:
    """The middle of shoulders and hips."""
    middle: np.ndarray = keypoints[:, _TRUNK].mean(axis=1)
    return middle


@dataclass(frozen=True)
class Joints:
    """What is known of n people's joints in the fixed frame.

    ``motion``: of the person's place, of the trunk's middle, and of each keypoint about that. ``sides``: log odds that
    left is left, 0 before anybody was seen. ``bones``: mean lengths (m), left and right together; ``looks``: the weight
    behind each.
    """

    motion: Motion
    sides: Float64[np.ndarray, " n"]
    bones: Float64[np.ndarray, "n 15"]
    looks: Float64[np.ndarray, "n 15"]

    @staticmethod
    def unknown(people: int) -> "Joints":
        """Before the first measurement."""
        none = np.zeros((people, len(BONES)))
        return Joints(Motion.unknown(people, DYNAMICS), np.zeros(people), none, none)

    @property
    def places(self) -> Float64[np.ndarray, "n 3"]:
        """Where people are, metres."""
        return self.motion.positions[:, 0]

    @property
    def velocities(self) -> Float64[np.ndarray, "n 3"]:
        """Of people, metres per second."""
        return self.motion.velocities[:, 0]

    @property
    def keypoints(self) -> Keypoints:
        """Where the filter has them, metres."""
        positions = self.motion.positions
        keypoints: np.ndarray = positions[:, 1:2] + positions[:, 2:]
        return keypoints

    def predict(self, dt_s: float) -> "Joints":
        """Move on by ``dt_s``; memory of what is left fades."""
        return replace(
            self, motion=self.motion.predict(dt_s, DYNAMICS), sides=self.sides * np.exp(-dt_s / SIDES_FADE_S)
        )

    def update(
        self, keypoints: Keypoints, confidence: Confidence, noise: float
    ) -> tuple["Joints", Keypoints, Bool[np.ndarray, " n"]]:
        """Take in what was seen; what is to be told of it, and whose left and right were exchanged for that.

        ``noise`` multiplies the standard deviation that the confidence stands for.
        """
        variances = ((STD_M + (STD_SURE_M - STD_M) * confidence) * noise) ** 2
        past, exchanged = _sides_settled(self, keypoints, confidence, variances)
        if exchanged.any():
            keypoints = np.where(exchanged[:, None, None], keypoints[:, _MIRROR], keypoints)
            variances = np.where(exchanged[:, None], variances[:, _MIRROR], variances)
            confidence = np.where(exchanged[:, None], confidence[:, _MIRROR], confidence)
        middle = trunks(keypoints)[:, None]
        measured = np.concatenate((middle, middle, keypoints - middle), axis=1)
        of_trunk = variances[:, _TRUNK].mean(axis=1, keepdims=True)
        spread = np.concatenate((np.full_like(of_trunk, _PLACE_VARIANCE_M2), of_trunk, variances), axis=1)
        bones, looks = _remembered(past, keypoints, confidence)
        joints = Joints(past.motion.update(measured, spread, DYNAMICS), past.sides, bones, looks)
        return joints, _with_bones(joints), exchanged


# Which side is left. Networks see people from behind as if from the front, for a frame or two, mostly unsure.

SIDES_FADE_S: Final = 1.5
_MOST_ODDS: Final = 8.0
_LEAST_SURE, _SURE = 1.0, 20.0  # log odds of a side: the first, and the second times (confidence - 0.25)^2
_TEMPER, _MOST_SURPRISE = 0.4, 8.0  # errors of joints hang together: they say less than independent ones would
_WALKING_MPS, _FORWARD = 0.15, 2.3  # who goes faster goes forward: log odds per m/s


def _sides_settled(
    past: Joints, keypoints: Keypoints, confidence: Confidence, variances: Float64[np.ndarray, "n 14"]
) -> tuple[Joints, Bool[np.ndarray, " n"]]:
    """The past with left where it most likely is, and who was measured with left and right exchanged.

    Two things may be wrong, the past and the measurement. Each has its own odds; whether they agree ties them.
    """
    agree = _agreement(past, keypoints, variances)
    mean = confidence.mean(axis=1)
    measured = _LEAST_SURE + _SURE * np.maximum(mean - 0.25, 0) ** 2
    claimed = measured + _walking_forward(past, keypoints)
    # probabilities of (past right or wrong, measurement right or wrong), up to a factor
    both, first = np.exp(agree / 2), np.exp(-agree / 2 - claimed)
    second, neither = np.exp(-past.sides - agree / 2), np.exp(-past.sides - claimed + agree / 2)
    known = past.sides != 0
    exchanged = known & (first + neither > both + second)
    odds = np.clip(np.log((both + first) / (second + neither)), -_MOST_ODDS, _MOST_ODDS)
    odds = np.where(known, odds, np.minimum(measured, _MOST_ODDS))
    wrong = odds < 0
    return replace(
        past, motion=_mirrored(past.motion, wrong) if wrong.any() else past.motion, sides=np.abs(odds)
    ), exchanged


def _mirrored(motion: Motion, who: Bool[np.ndarray, " n"]) -> Motion:
    state, covariance = (
        np.where(who[:, None, None, None], x[:, _MIRROR_POINTS], x) for x in (motion.state, motion.covariance)
    )
    return Motion(state, covariance)


def _agreement(past: Joints, keypoints: Keypoints, variances: Float64[np.ndarray, "n 14"]) -> np.ndarray:
    """Log odds that measurement and past have left on the same side."""
    expected, spread = past.keypoints, past.motion.variances[:, 2:] + past.motion.variances[:, 1:2]
    same = ((keypoints - expected) ** 2).sum(axis=2) / (spread + variances)
    other = ((keypoints[:, _MIRROR] - expected) ** 2).sum(axis=2) / (spread + variances[:, _MIRROR])
    surprise = np.minimum(other, _MOST_SURPRISE) - np.minimum(same, _MOST_SURPRISE)
    odds: np.ndarray = np.clip(_TEMPER / 2 * surprise.sum(axis=1), -_MOST_ODDS, _MOST_ODDS)
    return odds


def _walking_forward(past: Joints, keypoints: Keypoints) -> np.ndarray:
    """Log odds that the measured left is left, from where the past is going."""
    velocity = past.motion.velocities[:, 1]
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    ahead = facing((keypoints[:, _LEFT] - keypoints[:, _RIGHT]).sum(axis=1))
    along = velocity[:, 0] * np.cos(ahead) + velocity[:, 1] * np.sin(ahead)
    odds: np.ndarray = _FORWARD * np.clip(speed - _WALKING_MPS, 0, 1) * along / np.maximum(speed, 1e-3)
    return odds


# Bones of constant length: those of the arms and legs, the trunk's frame and the neck.

BONES: Final = (*LIMBS, *CONNECTORS)
_A, _B = (np.array(ends) for ends in zip(*BONES, strict=True))
_PLACE: Final = {frozenset(bone): place for place, bone in enumerate(BONES)}
_TWIN: Final = np.array([_PLACE[frozenset((MIRROR[a], MIRROR[b]))] for a, b in BONES])
_FROM, _TO = (np.eye(NUM_KEYPOINTS)[:, ends] for ends in (_A, _B))
_STIFF, _LOOKS, _SWEEPS = 0.48, 0.4, 3
_MOST_LOOKS: Final = 100.0  # a body that another id took over is forgotten at last
_SHORTEST_M: Final = 0.02


def bone_lengths(keypoints: Keypoints) -> Float64[np.ndarray, "n 15"]:
    """Lengths (m) in the order of BONES."""
    lengths: np.ndarray = np.linalg.norm(keypoints[:, _B] - keypoints[:, _A], axis=2)
    return lengths


def bone_weights(confidence: Confidence) -> Float64[np.ndarray, "n 15"]:
    """How much a look at each bone counts: both of its ends must be sure."""
    weights: np.ndarray = (confidence[:, _A] * confidence[:, _B]) ** 2
    return weights


def _remembered(past: Joints, keypoints: Keypoints, confidence: Confidence) -> tuple[np.ndarray, np.ndarray]:
    lengths, weights = bone_lengths(keypoints), bone_weights(confidence)
    new, sums = weights + weights[:, _TWIN], weights * lengths
    looks = past.looks + new
    bones = (past.looks * past.bones + sums + sums[:, _TWIN]) / np.maximum(looks, 1e-9)
    return bones, np.minimum(looks, _MOST_LOOKS)


def _with_bones(joints: Joints) -> Keypoints:
    """The filter's keypoints with bones nearer to their lengths; of a bone's ends the less certain one moves more."""
    keypoints, variances = joints.keypoints, joints.motion.variances[:, 2:]
    share = variances[:, _B] / np.maximum(variances[:, _A] + variances[:, _B], 1e-12)
    stiff = _STIFF * joints.looks / (joints.looks + _LOOKS)
    pull = _TO * share[:, None] + _FROM * (share - 1)[:, None]
    for _ in range(_SWEEPS):
        along = keypoints[:, _B] - keypoints[:, _A]
        length = np.maximum(np.linalg.norm(along, axis=2), _SHORTEST_M)
        keypoints = keypoints + pull @ (along * (stiff * (joints.bones / length - 1))[..., None])
    return keypoints
