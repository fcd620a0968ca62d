"""Clips between their frames, and drawing from a library: a body that turns and moves at known rates."""

import math

import pytest
import torch

from gckpl_ros.body.angles import turn
from gckpl_ros.body.kinematics import NUM_JOINTS
from gckpl_ros.errors import InputError
from gckpl_training.motion import Clip, MotionLibrary


def spinning(frames: int, fps: float, name: str, rate: float = 1.0) -> Clip:
    """Turns by `rate` rad/s about z, and moves along x at 1 m/s from x = 100 * rate."""
    time = torch.arange(frames) / fps
    pose = turn(torch.eye(3).expand(frames, NUM_JOINTS, 3, 3), rate * time)
    return Clip(pose, torch.stack([100 * rate + time, 0 * time, 0 * time], 1), fps, name)


def heading(pose: torch.Tensor) -> torch.Tensor:
    return torch.atan2(pose[:, 0, 1, 0], pose[:, 0, 0, 0])


def test_a_clip_is_interpolated_on_the_shortest_arc() -> None:
    pose, translation = spinning(4, 2.0, "a").at(torch.tensor([0.0, 0.2, 1.1, 99.0]))
    torch.testing.assert_close(heading(pose), torch.tensor([0.0, 0.2, 1.1, 1.5]))
    torch.testing.assert_close(translation[:, 0], torch.tensor([100.0, 100.2, 101.1, 101.5]))
    single = Clip(pose[:1], translation[:1], 30.0, "one frame")
    assert torch.equal(single.at(torch.tensor([0.0, 1.0]))[1], translation[[0, 0]])


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_resampling_keeps_the_motion_and_its_duration(fps: float) -> None:
    clip = spinning(31, 30.0, "a").resample(fps)
    assert (clip.fps, len(clip)) == (fps, int(fps) + 1)
    torch.testing.assert_close(heading(clip.pose), torch.arange(len(clip)) / fps, atol=1e-5, rtol=0)


def test_pairs_are_dt_apart_in_one_clip() -> None:
    clips = [spinning(20, 30.0, "a"), spinning(5, 30.0, "short", rate=-1.0), spinning(50, 60.0, "b", rate=2.0)]
    library = MotionLibrary(clips)
    (pose0, trans0), (pose1, trans1) = library.sample_pairs(500, 0.25, torch.Generator().manual_seed(0))
    assert pose0.shape == (500, 22, 3, 3) and trans1.shape == (500, 3) and pose0.dtype == torch.float32
    torch.testing.assert_close(trans1[:, 0] - trans0[:, 0], torch.full((500,), 0.25), atol=1e-4, rtol=0)
    rate = torch.where(trans0[:, 0] > 150, 2.0, 1.0)
    assert trans0.min() >= 0 and set(rate.tolist()) == {1.0, 2.0}, "the short clip has no such pair"
    turned = torch.remainder(heading(pose1) - heading(pose0), 2 * math.pi)
    torch.testing.assert_close(turned, 0.25 * rate, atol=1e-4, rtol=0)
    # 12 starts fit into the first clip, 35 into the last: frames are equally likely.
    assert abs((rate == 1).float().mean() - 12 / 47) < 0.06


def test_the_last_frame_can_end_a_pair() -> None:
    library = MotionLibrary([spinning(4, 30.0, "a")])
    (_, start), (_, end) = library.sample_pairs(5, 0.1, torch.Generator())
    torch.testing.assert_close(start[:, 0], torch.full((5,), 100.0))
    torch.testing.assert_close(end[:, 0], torch.full((5,), 100.1))


def test_sequences_step_evenly_and_samples_repeat_with_the_seed() -> None:
    library = MotionLibrary([spinning(40, 30.0, "a"), spinning(10, 30.0, "b", rate=-1.0)])
    frames = library.sample_sequences(20, 4, 0.05, torch.Generator().manual_seed(2))
    x = torch.stack([translation[:, 0] for _, translation in frames])
    torch.testing.assert_close(x.diff(dim=0), torch.full((3, 20), 0.05), atol=1e-4, rtol=0)
    first, second = (library.sample(64, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert len(library) == 50 and {round(v) for v in first[1][:, 0].tolist()} == {100, 101, -100}


def test_nothing_to_draw_from_is_said() -> None:
    with pytest.raises(InputError, match="no motion clips"):
        MotionLibrary([])
    with pytest.raises(InputError, match="no motion clip is 2 s long"):
        MotionLibrary([spinning(30, 30.0, "a")]).sample_pairs(1, 2.0, torch.Generator())
