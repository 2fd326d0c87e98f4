"""Noise: of the size it says, on what was seen, and on nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from src.transforms.augment.noise import Bend, DetectorErrors, HidePoints, Jitter
from tests.transforms.conftest import bits, still

QUIET = {"jump": 0.0, "lose": 0.0, "lost_frames": 3, "swap": 0.0}


# --- Jitter -------------------------------------------------------------------------------------


def test_jitter_is_white_and_of_its_deviation(clips, layout, draw):
    noise = (Jitter(1.0, sigma=0.01)(clips, layout, draw()).xyz - clips.xyz)[clips.mask]
    noise = noise[~noise.isnan()].numpy()
    n = len(noise)
    assert noise.std() == pytest.approx(0.01, rel=4 / math.sqrt(2 * n))
    assert abs(noise.mean()) < 4 * 0.01 / math.sqrt(n)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 4 / math.sqrt(n)


# --- HidePoints ---------------------------------------------------------------------------------


def test_a_hidden_point_is_missing_in_the_whole_clip_and_the_others_keep_their_bits(
    clips, layout, draw
):
    out = HidePoints(1.0, share=0.3)(clips, layout, draw())
    new = out.xyz.isnan() & ~clips.xyz.isnan()
    seen = (~clips.xyz.isnan()).any(1)  # (B, L, 3)
    assert torch.equal(new.any(1), seen & out.xyz.isnan().all(1))
    kept = ~out.xyz.isnan()
    assert torch.equal(out.xyz[kept], clips.xyz[kept])


def test_points_are_hidden_as_often_as_said(layout, draw):
    out = HidePoints(1.0, share=0.3)(still([[0, 0, 0]] * len(layout), 200), layout, draw())
    hidden = out.xyz[:, 0, :, 0].isnan().float()
    # Four standard deviations.
    assert hidden.mean().item() == pytest.approx(0.3, abs=4 * (0.21 / hidden.numel()) ** 0.5)


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
    assert torch.equal(out.xyz.isnan(), clips.xyz.isnan())
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
