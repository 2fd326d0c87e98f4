"""Flip, rotate, scale: closed forms, ranges, and what must stay."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from src.landmarks import HEAD_26, LEFT_HAND, LIP_PAIRS_CROSSED, MIRROR, RIGHT_HAND, Layout
from src.transforms.augment.space import Flip, Rotate, Scale, mirrored, rotated
from tests.transforms.conftest import bits, is_uniform, numbered, still

MANY = 2000
DOTS = still([[1.0, 1.0, 1.0], [0.3, -2.0, 0.7]], MANY)
TWO = Layout({"left_hand": LEFT_HAND[:1], "right_hand": RIGHT_HAND[:1]})


# --- flip ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [0.0, 0.5])
def test_flip_puts_every_point_where_its_partner_was(clips, layout, draw, centre):
    out = Flip(1.0, centre)(clips, layout, draw()).xyz.numpy()
    old = clips.xyz.numpy()
    for i, point in enumerate(layout.points):
        j = next(j for j, p in enumerate(layout.points) if set(p) == {MIRROR[k] for k in point})
        np.testing.assert_array_equal(out[:, :, i, 0], 2 * np.float32(centre) - old[:, :, j, 0])
        np.testing.assert_array_equal(out[:, :, i, 1:], old[:, :, j, 1:])


def test_flip_twice_is_the_identity_to_the_bit(clips, layout):
    twice = mirrored(mirrored(clips.xyz, layout, 0.0), layout, 0.0)
    assert torch.equal(bits(twice), bits(clips.xyz))


def test_flip_takes_the_pairs_it_is_given_against_the_layouts(draw):
    """26th place's table crosses two pairs of lip points; all others stay as they are."""
    layout = Layout({"face": HEAD_26})
    xyz = torch.randn(1, 2, len(layout), 3, generator=torch.Generator().manual_seed(0))
    clips = numbered([2], 2).with_(xyz=xyz)
    plain, crossed = (
        Flip(1.0, pairs=pairs)(clips, layout, draw()).xyz for pairs in ((), LIP_PAIRS_CROSSED)
    )
    partner = {k: MIRROR[k] for k in HEAD_26}
    for a, b in LIP_PAIRS_CROSSED:
        assert partner[a] != b
        partner[a], partner[b] = b, a
    for k, j in partner.items():
        expected = xyz[:, :, layout.row(j)] * torch.tensor([-1.0, 1.0, 1.0])
        assert torch.equal(crossed[:, :, layout.row(k)], expected)
    changed = {HEAD_26[i] for i in (plain != crossed).any(-1).any(1)[0].nonzero().flatten()}
    assert changed == {k for pair in LIP_PAIRS_CROSSED for k in pair}


# --- rotate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, -60.0, 180.0])
def test_rotation_by_a_known_angle(clips, degrees):
    """As complex numbers: (x + iy) e^(i angle)."""
    angle = torch.full((len(clips.label),), math.radians(degrees))
    out, old = rotated(clips.xyz, angle).numpy(), clips.xyz.numpy()
    plane = (old[..., 0] + 1j * old[..., 1]) * np.exp(1j * math.radians(degrees))
    np.testing.assert_allclose(out[..., 0], plane.real, atol=2e-6)  # float32 of numbers near 4
    np.testing.assert_allclose(out[..., 1], plane.imag, atol=2e-6)
    np.testing.assert_array_equal(out[..., 2], old[..., 2])


def test_angles_are_uniform_to_both_sides(draw):
    out = Rotate(1.0, 60.0)(DOTS, TWO, draw()).xyz[:, 0, 0]
    angle = torch.rad2deg(torch.atan2(out[:, 1], out[:, 0])).numpy() - 45
    assert is_uniform(angle, -60, 60)


# --- scale --------------------------------------------------------------------------------------


def test_scale_is_one_uniform_factor_per_clip(draw):
    out = Scale(1.0, 0.7, 1.3)(DOTS, TWO, draw()).xyz
    factor = out[:, 0, 0]  # of the point at (1, 1, 1)
    assert torch.equal(factor[:, 0], factor[:, 1]) and torch.equal(factor[:, 0], factor[:, 2])
    torch.testing.assert_close(out[:, 0, 1], factor * DOTS.xyz[:, 0, 1])
    assert is_uniform(factor[:, 0].numpy(), 0.7, 1.3)


def test_the_centre_stays_in_x_and_y_and_all_distances_scale(draw):
    out = Scale(1.0, 0.7, 1.3, centre=0.5)(DOTS, TWO, draw()).xyz[:, 0]
    about_origin = Scale(1.0, 0.7, 1.3)(DOTS, TWO, draw()).xyz[:, 0]
    moved = torch.tensor([0.5, 0.5, 0.0]) * (1 - about_origin[:, :1])  # which is the factor
    torch.testing.assert_close(out - about_origin, moved.expand_as(out), rtol=0, atol=1e-6)


@pytest.mark.parametrize("by_sum", [False, True])
def test_distortion_is_a_further_factor_per_axis(draw, by_sum):
    """s d of both U(0.7, 1.3): the logs of two axes share half of their variance; code: s + d."""
    scale = Scale(1.0, 0.7, 1.3, distort_p=1.0, distort_by_sum=by_sum)
    factor = scale(DOTS, TWO, draw()).xyz[:, 0, 0].numpy()
    one = stats.uniform(0.7, 0.6)
    mean, deviation = (
        (2, (2 * one.var()) ** 0.5) if by_sum else (1, ((one.var() + 1) ** 2 - 1) ** 0.5)
    )
    assert factor.mean() == pytest.approx(mean, abs=0.02)
    assert factor.std() == pytest.approx(deviation, abs=0.02)
    correlation = np.corrcoef((factor if by_sum else np.log(factor)).T)
    assert correlation[np.triu_indices(3, 1)] == pytest.approx([0.5] * 3, abs=0.07)


def test_half_of_the_scaled_clips_are_distorted(draw):
    out = Scale(0.5, 0.7, 1.3, distort_p=0.5)(DOTS, TWO, draw()).xyz[:, 0, 0]
    scaled = (out != 1).any(1)
    distorted = scaled & (out[:, 0] != out[:, 1])
    assert abs(scaled.sum().item() - MANY / 2) < 4 * (MANY / 4) ** 0.5
    assert abs(distorted.sum().item() - MANY / 4) < 4 * (MANY * 3 / 16) ** 0.5
