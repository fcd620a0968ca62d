"""Many clips as one set to draw poses from, each frame equally likely, on any device."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gckpl_ros.errors import InputError
from gckpl_training.motion.clip import Clip, slerp

Poses = tuple[Float[Tensor, "n 22 3 3"], Float[Tensor, "n 3"]]


class MotionLibrary:
    """Poses (n,22,3,3) and pelvis positions (n,3), drawn from clips; z-up world, metres, float32."""

    on_ground = True

    def __init__(self, clips: Sequence[Clip], device: torch.device | str = "cpu") -> None:
        """Join the clips; raises InputError when there is none."""
        if not clips:
            raise InputError("no motion clips: name a motion file, or use the procedural poses, which need none")
        lengths = torch.tensor([len(clip) for clip in clips])
        self.clips = tuple(clips)
        self._pose = torch.cat([clip.pose for clip in clips]).float().to(device)
        self._translation = torch.cat([clip.translation for clip in clips]).float().to(device)
        self._last = (lengths.cumsum(0) - 1).repeat_interleave(lengths).to(device)
        self._fps = torch.tensor([clip.fps for clip in clips]).repeat_interleave(lengths).to(device)

    def __len__(self) -> int:
        return len(self._pose)

    def sample(self, n: int, generator: torch.Generator) -> Poses:
        """n random frames."""
        rows = _draw(n, torch.arange(len(self), device=self._pose.device), generator)
        return self._pose[rows], self._translation[rows]

    def sample_pairs(self, n: int, dt_s: float, generator: torch.Generator) -> tuple[Poses, Poses]:
        """n pairs of moments of one clip, `dt_s` seconds apart; raises InputError when every clip is shorter."""
        first, second = self.sample_sequences(n, 2, dt_s, generator)
        return first, second

    def sample_sequences(self, n: int, frames: int, dt_s: float, generator: torch.Generator) -> tuple[Poses, ...]:
        """n runs of `frames` moments of one clip, `dt_s` seconds apart (interpolated between recorded frames)."""
        rows = torch.arange(len(self), device=self._pose.device)
        fits = rows + ((frames - 1) * dt_s * self._fps - 1e-3).ceil() <= self._last
        if not fits.any():
            raise InputError(f"no motion clip is {(frames - 1) * dt_s:g} s long")
        starts = _draw(n, rows[fits], generator)
        return tuple(self._at(starts, step * dt_s) for step in range(frames))

    def _at(self, starts: Int64[Tensor, " n"], after_s: float) -> Poses:
        frame = after_s * self._fps[starts]
        whole = (frame + 1e-3).floor()
        low = starts + whole.long()
        high = torch.minimum(low + 1, self._last[starts])
        fraction = (frame - whole).clamp(0, 1)[:, None]
        if after_s == 0:  # a recorded frame: nothing to interpolate
            return self._pose[low], self._translation[low]
        pose = slerp(self._pose[low], self._pose[high], fraction)
        return pose, torch.lerp(self._translation[low], self._translation[high], fraction)


def _draw(n: int, rows: Int64[Tensor, " m"], generator: torch.Generator) -> Int64[Tensor, " n"]:
    return rows[torch.randint(len(rows), (n,), generator=generator, device=generator.device).to(rows.device)]
