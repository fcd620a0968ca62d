"""A recorded motion, and resampling it to another frame rate."""

from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Clip:
    """A motion in a z-up world: local rotations relative to the T-pose (joint 0 is global), pelvis position in m."""

    pose: Float[Tensor, "t 22 3 3"]
    translation: Float[Tensor, "t 3"]
    fps: float
    name: str
    subject: str = ""
    split: str = "train"

    def __len__(self) -> int:
        return len(self.pose)

    def at(self, times_s: Float[Tensor, " n"]) -> tuple[Float[Tensor, "n 22 3 3"], Float[Tensor, "n 3"]]:
        """Pose and pelvis position at any times from the start; beyond either end the clip stands still."""
        frames = (times_s * self.fps).clamp(0, len(self) - 1)
        low = frames.floor().long().clamp(max=max(len(self) - 2, 0))
        high = (low + 1).clamp(max=len(self) - 1)
        fraction = frames - low
        pose = slerp(self.pose[low], self.pose[high], fraction[:, None])
        return pose, torch.lerp(self.translation[low], self.translation[high], fraction[:, None])

    def resample(self, fps: float) -> "Clip":
        """The same motion at another frame rate."""
        count = int((len(self) - 1) / self.fps * fps + 1e-4) + 1
        pose, translation = self.at(torch.arange(count, device=self.pose.device) / fps)
        return replace(self, pose=pose, translation=translation, fps=fps)


def slerp(
    start: Float[Tensor, "... 3 3"], end: Float[Tensor, "... 3 3"], fraction: Float[Tensor, "..."]
) -> Float[Tensor, "... 3 3"]:
    """Rotations on the shortest way from `start` to `end`."""
    way = roma.rotmat_to_rotvec(start.mT @ end)
    return start @ roma.rotvec_to_rotmat(way * fraction[..., None])
