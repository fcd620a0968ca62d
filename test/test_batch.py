"""The person batch: rows, frames and points stay together whatever is done to them."""

from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from gckpl_ros.batch import PersonBatch

B, T, N = 4, 3, 6
COUNTS = torch.tensor([[2, 5, 0], [1, 1, 1], [4, 3, 2], [0, 0, 2]])


def full(counts: torch.Tensor = COUNTS, room: int = N) -> PersonBatch:
    """Every field filled, each value naming its row, its frame and its place among the points."""
    shape = counts.shape
    mask = torch.arange(room) < counts[..., None]
    row = torch.arange(counts.numel()).view(shape).float()
    point = (100 * row[..., None] + torch.arange(room)) * mask
    keypoint = 1000 + 100 * row[..., None] + torch.arange(14)
    return PersonBatch(
        points=torch.stack([point] * 3, -1),
        mask=mask,
        views=torch.stack([row] * 3, -1),
        origins=torch.stack([row] * 3, -1) / 10,
        counts=counts + 1,
        index=torch.where(mask, point.long(), -1),
        dt_s=row / 7,
        ids=row.long(),
        parts=point.long() % 15,
        keypoints=torch.stack([keypoint] * 3, -1),
        keypoint_mask=keypoint % 2 == 0,
        confidence=keypoint / 5000,
        flow=torch.stack([point + 0.5] * 3, -1) * mask[..., None],
        flow_confidence=point / 2,
        boxes=torch.stack([row] * 7, -1),
        image_features=torch.stack([point] * 5, -1),
        keypoints_2d=torch.stack([keypoint] * 3, -1),
        camera=row[..., None, None].expand(*shape, 3, 4),
    )


def same(a: PersonBatch, b: PersonBatch) -> None:
    for one in fields(PersonBatch):
        found, expected = getattr(a, one.name), getattr(b, one.name)
        assert (found is None) == (expected is None), one.name
        if found is not None:
            torch.testing.assert_close(found, expected, msg=one.name)


def people(*rows: int) -> PersonBatch:
    return full().frame(1).rows(torch.tensor(rows, dtype=torch.int64))


def test_every_field_is_filled_here() -> None:
    """So that a field added to the batch is in all of these tests."""
    assert all(getattr(full(), one.name) is not None for one in fields(PersonBatch))


@pytest.mark.parametrize("index", [[2, 0], np.array([2, 0]), np.array([True, False, True, False])])
def test_rows_belong_together_and_carry_no_more_padding_than_they_need(index: "list[int] | np.ndarray") -> None:
    chosen = full().rows(torch.tensor(index) if isinstance(index, list) else index)
    assert chosen.mask.shape == (2, T, 5) and chosen.frames == T and sorted(chosen.ids[:, 0].tolist()) == [0, 6]
    row = chosen.ids.float()
    torch.testing.assert_close(chosen.points[..., 0], (100 * row[..., None] + torch.arange(5)) * chosen.mask)
    torch.testing.assert_close(chosen.keypoints[..., 0, 0], 1000 + 100 * row)
    torch.testing.assert_close(chosen.index[~chosen.mask], torch.full((int((~chosen.mask).sum()),), -1))


def test_frames_spans_and_flat_rows_are_the_same_people() -> None:
    whole = full()
    flat = whole.flat()
    assert len(flat) == B * T and flat.frames == 1 and flat.ids.tolist() == list(range(B * T))
    same(whole.frame(2), flat.rows(torch.arange(2, B * T, T)).padded(N))
    same(PersonBatch.stack([whole.frame(t) for t in range(T)]), whole)
    same(whole.span(1, 3).frame(0), whole.frame(1))
    same(whole.frame(0).flat(), whole.frame(0))


def test_frames_are_picked_person_by_person() -> None:
    picked = full().pick(torch.tensor([2, 0]), torch.tensor([[0, 1], [1, 2]]))
    assert picked.ids.tolist() == [[6, 7], [1, 2]] and picked.mask.shape == (2, 2, 5)


def test_padding_and_trimming_undo_each_other() -> None:
    tight = people(0, 2)
    wide = tight.padded(11)
    assert wide.mask.shape == (2, 11) and not wide.mask[:, 5:].any() and (wide.index[:, 5:] == -1).all()
    for name in ("points", "parts", "flow", "flow_confidence", "image_features"):
        assert not wide.required(name)[:, 5:].any()
    same(wide.trimmed(), tight)
    assert tight.padded(5) is tight and tight.trimmed() is tight


def test_whoever_has_no_points_keeps_room_for_one() -> None:
    nobody_seen = full().rows(torch.tensor([3])).frame(0).trimmed()
    assert nobody_seen.mask.tolist() == [[False]] and not nobody_seen.seen.any()
    assert len(people()) == 0 and people().mask.shape == (0, 1)
    empty = PersonBatch.empty()
    assert len(empty) == 0 and len(empty.rows(np.zeros(0, bool))) == 0


def test_joined_are_all_people_and_what_all_of_them_know() -> None:
    few, more = people(1), replace(people(0, 2), flow=None)
    both = PersonBatch.join([few, more])
    assert both.ids.tolist() == [4, 1, 7] and both.mask.shape == (3, 5) and both.flow is None
    same(both.rows(torch.tensor([0])), replace(few, flow=None))
    same(both.rows(torch.tensor([1, 2])), more)


def test_split_loses_nobody_and_repeats_with_its_generator() -> None:
    flat = full().flat()
    parts, again = (flat.split(5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert [len(part) for part in parts].count(5) == 2
    assert sorted(torch.cat([part.ids for part in parts]).tolist()) == list(range(B * T))
    assert [part.ids.tolist() for part in parts] == [part.ids.tolist() for part in again]


def test_around_the_first_origin_who_stands_still_does_not_move() -> None:
    """Boxes that move by one metre along x, with points and keypoints that move against them; padding holds rubbish."""
    whole = full()
    shift = torch.arange(T).float()[None, :, None] * torch.tensor([1.0, 0, 0])
    stands, sensor = torch.full((B, 1, 1, 3), 2.0), torch.tensor([-9.0, 0, 0])
    points = (stands - shift[:, :, None]).masked_fill(~whole.mask[..., None], torch.nan)
    still = replace(
        whole,
        points=points,
        origins=shift.expand(B, -1, -1),
        views=shift - sensor + torch.zeros(B, 1, 1),
        keypoints=(stands - shift[:, :, None]).expand(-1, -1, 14, -1),
    ).around_first()
    assert (still.points[still.mask] == 2).all() and (still.points[~still.mask] == 0).all()
    assert (still.keypoints == 2).all() and (still.origins == 0).all() and (still.views == -sensor).all()


def test_it_moves_to_a_device_whole() -> None:
    moved = full().to("meta")
    assert {moved.required(one.name).device.type for one in fields(PersonBatch)} == {"meta"}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(AssertionError, match="no flow"):
        replace(full(), flow=None).required("flow")


def test_it_cannot_be_changed_and_shapes_must_fit() -> None:
    with pytest.raises(FrozenInstanceError):
        full().ids = None  # type: ignore[misc]
    with pytest.raises(TypeCheckError):
        replace(full(), views=torch.zeros(B, T, 2))
    with pytest.raises(TypeCheckError):
        replace(full(), parts=torch.zeros(B, T, N + 1, dtype=torch.int64))
