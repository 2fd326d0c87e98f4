"""Noise: of the size it says, on what was seen, and on nothing else."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from src.landmarks import LEFT_HAND, LIPS_21
from src.transforms.augment.noise import Bend, DetectorErrors, Jitter, ShiftGroups, ShiftPoints
from tests.transforms.conftest import bits, still

QUIET = {"jump": 0.0, "lose": 0.0, "lost_frames": 3, "swap": 0.0}


def test_jitter_is_white_and_of_its_deviation(clips, layout, draw):
    noise = (Jitter(1.0, sigma=0.01)(clips, layout, draw()).xyz - clips.xyz)[clips.mask]
    noise = noise[~noise.isnan()].numpy()
    n = len(noise)
    assert noise.std() == pytest.approx(0.01, rel=4 / math.sqrt(2 * n))
    assert abs(noise.mean()) < 4 * 0.01 / math.sqrt(n)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 4 / math.sqrt(n)


# --- Bend ---------------------------------------------------------------------------------------


def test_a_bend_is_a_gaussian_around_one_of_the_points(clips, layout, draw):
    reach, whole = 0.5, 0  # clip 0 lacks nothing
    out = Bend(1.0, pull=0.2, reach=reach)(clips, layout, draw())
    xyz = clips.xyz[whole, :20]
    moved = out.xyz[whole, :20] - xyz
    assert torch.equal(moved[..., 2], torch.zeros_like(moved[..., 2]))
    pulled = int(moved[0].norm(dim=-1).argmax())
    distance = (xyz - xyz[:, [pulled]])[..., :2].norm(dim=-1)
    expected = torch.exp(-0.5 * (distance / reach) ** 2)[..., None] * moved[0, pulled]
    # Differences of float32 numbers up to 4.
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-6)


def test_far_points_stay_and_so_do_frames_without_the_pulled_one(clips, layout, draw):
    out = Bend(1.0, pull=0.2, reach=0.01)(clips, layout, draw())
    moved = (out.xyz != clips.xyz) & ~clips.xyz.isnan()
    points = moved[clips.mask].any(-1).sum(-1)  # of each frame
    assert points.max() == 1  # nothing else is within a hundredth of it
    some = 8  # its parts are lost in frames of their own
    in_some = moved[some, clips.mask[some]].any(-1).any(-1)
    assert in_some.any() and not in_some.all()


# --- DetectorErrors -----------------------------------------------------------------------------


def test_a_part_jumps_as_a_whole_in_every_frame_anew(clips, layout, draw):
    out = DetectorErrors(1.0, **QUIET | {"jump": 0.1})(clips, layout, draw())
    shifts = []
    for part in layout.parts:
        rows = list(layout.rows(part))
        shift = (out.xyz - clips.xyz)[0, :20, rows]
        torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=0, atol=1e-6)
        shifts.append(shift[:, 0])
    shifts = torch.stack(shifts, 1).flatten(0, 1).flatten()
    assert len(shifts.unique()) == len(shifts)
    # Four standard deviations of a deviation of so many draws.
    assert shifts.std().item() == pytest.approx(0.1, rel=4 / math.sqrt(2 * len(shifts)))
    assert torch.equal(out.xyz.isnan(), clips.xyz.isnan())


def test_a_part_is_lost_whole_and_for_so_many_frames(clips, layout, draw):
    out = DetectorErrors(1.0, **QUIET | {"lose": 0.05})(clips, layout, draw(1))
    lost = out.xyz.isnan() & ~clips.xyz.isnan()
    assert lost[0].any() and not lost[0, :20].all()
    for part in layout.parts:
        by_point = lost[0, :20, list(layout.rows(part)), 0]
        assert (by_point == by_point[:, :1]).all()
        changes = np.flatnonzero(np.diff(np.r_[0, by_point[:, 0].numpy().astype(int), 0]))
        runs = changes[1::2] - changes[::2]
        inside = runs[changes[1::2] < 20]  # the last one may be cut off
        assert (inside >= 3).all()
    kept = ~out.xyz.isnan()
    assert torch.equal(out.xyz[kept], clips.xyz[kept])


def test_swapped_hands_are_each_other_to_the_bit_and_nothing_else_moves(clips, layout, draw):
    out = DetectorErrors(1.0, **QUIET | {"swap": 0.5})(clips, layout, draw())
    left, right = list(layout.rows("left_hand")), list(layout.rows("right_hand"))
    others = [row for row in range(len(layout)) if row not in left + right]
    assert torch.equal(bits(out.xyz[:, :, others]), bits(clips.xyz[:, :, others]))
    same = (bits(out.xyz[:, :, left + right]) == bits(clips.xyz[:, :, left + right])).all((2, 3))
    other = (bits(out.xyz[:, :, left + right]) == bits(clips.xyz[:, :, right + left])).all((2, 3))
    assert (same | other)[clips.mask].all()
    assert not same[0, :20].all() and not other[0, :20].all()


# --- ShiftGroups, ShiftPoints -------------------------------------------------------------------

GROUPS = (LIPS_21, LEFT_HAND)  # the right hand, arms, ... are in none


def test_a_group_moves_as_one_in_all_frames_and_what_is_in_none_keeps_its_bits(clips, layout, draw):
    out = ShiftGroups(1.0, 0.05, GROUPS)(clips, layout, draw())
    others = set(range(len(layout)))
    for group in GROUPS:
        rows = [layout.row(landmark) for landmark in group]
        others -= {*rows}
        for k in range(len(clips.label)):
            shift = (out.xyz - clips.xyz)[k, clips.mask[k]][:, rows].flatten(0, 1)
            shift = shift[~shift.isnan().any(-1)]
            if len(shift):
                # Differences of float32 numbers up to 4.
                torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-6)
                assert (shift[0].abs() > 1e-4).all()
    old, new = (bits(c.xyz[:, :, sorted(others)]) for c in (clips, out))
    assert torch.equal(old, new) and set(layout.rows("right_hand")) <= others


def test_every_point_moves_for_itself_but_the_same_in_all_frames(clips, layout, draw):
    moved = ShiftPoints(1.0, 0.05)(clips, layout, draw()).xyz[0, :20] - clips.xyz[0, :20]
    torch.testing.assert_close(moved, moved[:1].expand_as(moved), rtol=0, atol=1e-6)
    assert len(np.unique(moved[0].numpy().round(5), axis=0)) == len(layout)


def test_shifts_are_normal_with_the_stated_deviation(layout, draw):
    many = still([[0, 0, 0]] * len(layout), 300)
    points = ShiftPoints(1.0, 0.05)(many, layout, draw()).xyz[:, 0, ::8]
    lips = ShiftGroups(1.0, 0.05, GROUPS)(many, layout, draw()).xyz[:, 0, layout.row(LIPS_21[0])]
    for moved in (points, lips):
        assert stats.kstest(moved.flatten().numpy() / 0.05, "norm").pvalue > 0.01
