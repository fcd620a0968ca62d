"""The one path from a cloud to tracked skeletons: detect, crop, estimate, track; the sensor's own motion if asked."""

from collections.abc import Collection
from time import perf_counter_ns

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64

from gckpl_ros.batch import PersonBatch
from gckpl_ros.body import Bodily, NoBodies
from gckpl_ros.config import ODOMETRY, BodyConfig, Config
from gckpl_ros.detect import detector
from gckpl_ros.estimate.estimator import Estimator
from gckpl_ros.estimate.network import KeypointNetwork
from gckpl_ros.people.crop import crop
from gckpl_ros.reasons import UNSURE
from gckpl_ros.skeleton import BACKGROUND, MIRROR
from gckpl_ros.track import NoTracker, Tracker
from gckpl_ros.track.odometry import NoOdometry, Odometry
from gckpl_ros.types import Frame, Parts, Sample


class Pipeline:
    """Detect, crop, estimate, track. Keeps state between frames: feed clouds in the order of their stamps."""

    def __init__(self, config: Config) -> None:
        """Load the network; raises InputError when its weights cannot be used, or odometry is asked for in vain."""
        self._config = config
        self._odometry = Odometry() if config.track.frame == ODOMETRY else NoOdometry()
        self._estimated = False
        self._estimator = Estimator.load(config.estimate)
        self._detector = detector(config.detect)
        self._tracker: Tracker | NoTracker = Tracker(config.track) if config.track.enabled else NoTracker()
        self._bodies = _bodies(config.body)

    @property
    def network(self) -> KeypointNetwork:
        """The network in use; another one of the same kind may take its place between two frames."""
        return self._estimator.network

    @network.setter
    def network(self, network: KeypointNetwork) -> None:
        self._estimator.network = network

    def process(self, sample: Sample, wanted: Collection[str] = ()) -> Frame:
        """People of one cloud. ``wanted``: what costs time and is made only for those who take it: parts, meshes."""
        watch = _Stopwatch()
        sample, T_odom_cloud = self._moved(sample, watch)
        cloud, boxes, T_fixed_cloud = sample.cloud, sample.boxes, sample.pose
        least = self._config.detect.min_confidence if boxes is None else 0.0
        boxes = self._detector(cloud, T_fixed_cloud) if boxes is None else boxes
        watch.lap("detect")
        crops, kept, dropped = crop(cloud, boxes, self._config.crop, self._config.estimate.max_people)
        watch.lap("crop")
        estimate = self._estimator(crops)
        sure = estimate.skeletons.confidence.mean(axis=1) >= least
        watch.lap("estimate")
        tracks = self._tracker(boxes[kept[sure]], estimate.skeletons[sure], cloud.stamp_ns, T_fixed_cloud)
        watch.lap("track")
        dropped |= {} if sure.all() else {UNSURE: int((~sure).sum())}
        parts = _parts(crops, estimate.parts, sure, self._tracker.exchanged) if "parts" in wanted else None
        people = crops if sure.all() else crops.rows(sure)
        frame = Frame(cloud.stamp_ns, cloud.frame_id, tracks, parts, watch.laps_ms, dropped, people, T_odom_cloud)
        return self._embodied(sample, frame, "meshes" in wanted, watch)

    def _embodied(self, sample: Sample, frame: Frame, meshes: bool, watch: "_Stopwatch") -> Frame:
        """With a body for everybody who was seen, where bodies are asked for."""
        embodied = self._bodies(sample, frame, meshes)
        if embodied is not frame:
            watch.lap("body")
        return embodied

    def _moved(self, sample: Sample, watch: "_Stopwatch") -> tuple[Sample, Float64[np.ndarray, "4 4"] | None]:
        """The sample with a pose, and the pose where it was estimated; with another kind of pose everybody is new."""
        moved = self._odometry(sample)
        estimated = moved is not sample
        if estimated:
            watch.lap("odometry")
        if estimated != self._estimated:
            self._detector.reset()
            self._tracker.reset()
            self._bodies.reset()
            self._estimated = estimated
        return moved, moved.T_fixed_cloud if estimated else None

    def warm_up(self) -> None:
        """Estimate people made of nothing, so that the first cloud need not wait for the device to get ready."""
        for people in (1, 8):
            shape, origins = (people, self._config.crop.max_points), torch.zeros(people, 3)
            mask = torch.ones(shape, dtype=torch.bool)
            self._estimator(PersonBatch(torch.zeros(*shape, 3), mask, views=origins + 5, origins=origins))

    def configure(self, config: Config) -> None:
        """Take over other values between two clouds; people and their ids stay, and so does all that is FIXED."""
        if config.detect.enabled != self._config.detect.enabled:
            self._detector = detector(config.detect)
        self._detector.configure(config.detect)
        self._tracker.configure(config.track)
        self._bodies.configure(config.body)
        self._config = config

    def reset(self) -> None:
        """Forget everybody and all motion, as before the first cloud; ids are not used again."""
        self._odometry.reset()
        self._detector.reset()
        self._tracker.reset()
        self._bodies.reset()


def _bodies(config: BodyConfig) -> Bodily:
    if not config.enabled:
        return NoBodies()
    from gckpl_ros.body.tracker import BodyTracker  # with much that nobody else needs

    return BodyTracker(config)


class _Stopwatch:
    def __init__(self) -> None:
        self.laps_ms: dict[str, float] = {}
        self._last_ns = perf_counter_ns()

    def lap(self, stage: str) -> None:
        now_ns = perf_counter_ns()
        self.laps_ms[stage] = (now_ns - self._last_ns) / 1e6
        self._last_ns = now_ns


def _parts(
    crops: PersonBatch,
    probability: Float32[np.ndarray, "b n 15"],
    sure: Bool[np.ndarray, " b"],
    exchanged: Bool[np.ndarray, " s"],
) -> Parts:
    """Parts of all points of the sure, left and right as in their skeletons.

    ``person`` is the row in Frame.tracks (trackers keep the order).
    """
    mask = crops.mask.numpy() & sure[:, None]
    person = (np.cumsum(sure) - 1)[np.nonzero(mask)[0]]
    probability = probability[mask]
    probability[exchanged[person]] = probability[exchanged[person]][:, [*MIRROR, BACKGROUND]]
    return Parts(crops.required("index").numpy()[mask], person, probability)
