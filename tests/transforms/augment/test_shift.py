"""Shifts: rigid within a group, independent between groups, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from src.landmarks import LEFT_HAND, LIPS_21, RIGHT_HAND, Layout
from src.transforms.augment.shift import ShiftGroups, ShiftPoints
from tests.transforms.conftest import bits, still

GROUPS = (LIPS_21, LEFT_HAND)  # the right hand, arms, ... are in none


def rows(layout: Layout, group: tuple[int, ...]) -> list[int]:
    return [layout.row(landmark) for landmark in group]


@pytest.fixture
def moved(clips, layout, draw) -> torch.Tensor:
    """How far every point has moved; NaN where it is missing."""
    return ShiftGroups(1.0, 0.05, GROUPS)(clips, layout, draw()).xyz - clips.xyz


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_moves_as_one_in_all_frames(moved, clips, layout, group):
    for k in range(len(clips.label)):
        shift = moved[k, clips.mask[k]][:, rows(layout, group)].flatten(0, 1)
        shift = shift[~shift.isnan().any(-1)]
        if len(shift):
            # Differences of float32 numbers up to 4.
            torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-6)
            assert (shift[0].abs() > 1e-4).all()


def test_points_in_no_group_keep_their_bits(clips, layout, draw):
    out = ShiftGroups(1.0, 0.05, GROUPS)(clips, layout, draw())
    others = sorted(set(range(len(layout))) - {r for g in GROUPS for r in rows(layout, g)})
    assert set(rows(layout, RIGHT_HAND)) <= set(others)
    old, new = (bits(c.xyz[:, :, others]) for c in (clips, out))
    assert torch.equal(old, new)


def test_every_point_moves_for_itself_but_the_same_in_all_frames(clips, layout, draw):
    moved = ShiftPoints(1.0, 0.05)(clips, layout, draw()).xyz[0, :20] - clips.xyz[0, :20]
    torch.testing.assert_close(moved, moved[:1].expand_as(moved), rtol=0, atol=1e-6)
    first = moved[0].numpy()
    assert len(np.unique(first.round(5), axis=0)) == len(layout)


def test_shifts_are_normal_with_the_stated_deviation(layout, draw):
    many = still([[0, 0, 0]] * len(layout), 300)
    points = ShiftPoints(1.0, 0.05)(many, layout, draw()).xyz
    assert stats.kstest(points[:, 0, ::8].flatten().numpy() / 0.05, "norm").pvalue > 0.01
    groups = ShiftGroups(1.0, 0.05, GROUPS)(many, layout, draw()).xyz
    lips = groups[:, 0, rows(layout, LIPS_21)[0]].flatten().numpy()
    assert stats.kstest(lips / 0.05, "norm").pvalue > 0.01
