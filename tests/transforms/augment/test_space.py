"""Flip, rotate, scale: closed forms, ranges, and what must stay."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from src.clips import Clips
from src.landmarks import HEAD_26, LEFT_HAND, LIP_PAIRS_CROSSED, MIRROR, RIGHT_HAND, Layout
from src.transforms.augment.space import Flip, Rotate, Scale, mirrored, rotated

MANY = 2000


@pytest.fixture
def dots() -> tuple[Clips, Layout]:
    """2000 clips of one frame and two points, one of them at (1, 1, 1)."""
    xyz = torch.ones(MANY, 1, 2, 3)
    xyz[:, :, 1] = torch.tensor([0.3, -2.0, 0.7])
    clips = Clips(xyz, torch.ones(MANY, 1, dtype=torch.bool), torch.zeros(MANY, dtype=torch.long))
    return clips, Layout({"left_hand": LEFT_HAND[:1], "right_hand": RIGHT_HAND[:1]})


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


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
    assert same(mirrored(mirrored(clips.xyz, layout, 0.0), layout, 0.0), clips.xyz)


def test_flip_of_image_coordinates_twice_is_the_identity(clips, layout):
    twice = mirrored(mirrored(clips.xyz, layout, 0.5), layout, 0.5)
    # 1 - x rounds at most at the last bit of 4.
    torch.testing.assert_close(twice, clips.xyz, rtol=0, atol=2**-21, equal_nan=True)


def test_flip_exchanges_the_hands(layout, clips, draw):
    """The clip without a left hand becomes one without a right hand."""
    out = Flip(1.0)(clips, layout, draw())
    k = 3  # "left hand" is lacking
    assert clips.xyz[k, clips.mask[k]][:, list(layout.rows("left_hand"))].isnan().all()
    real = out.xyz[k, out.mask[k]]
    assert real[:, list(layout.rows("right_hand"))].isnan().all()
    assert not real[:, list(layout.rows("left_hand"))].isnan().any()


def test_flip_takes_the_pairs_it_is_given_against_the_layouts(draw):
    """26th place's table crosses two pairs of lip points; all others stay as they are."""
    layout = Layout({"face": HEAD_26})
    xyz = torch.randn(1, 2, len(layout), 3, generator=torch.Generator().manual_seed(0))
    clips = Clips(xyz, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, dtype=torch.long))
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


def test_rotation_keeps_distances_and_what_is_missing(clips, layout, draw):
    out = Rotate(1.0, 60.0)(clips, layout, draw()).xyz
    assert torch.equal(out.isnan(), clips.xyz.isnan())
    for a, b in ((0, 1), (5, 40), (42, 60)):
        torch.testing.assert_close(
            (out[:, :, a] - out[:, :, b]).norm(dim=-1),
            (clips.xyz[:, :, a] - clips.xyz[:, :, b]).norm(dim=-1),
            rtol=1e-5,
            atol=1e-5,
            equal_nan=True,
        )


@pytest.mark.parametrize("degrees", [60.0, 30.0])
def test_angles_are_uniform_to_both_sides(dots, draw, degrees):
    out = Rotate(1.0, degrees)(*dots, draw()).xyz[:, 0, 0]
    angle = torch.rad2deg(torch.atan2(out[:, 1], out[:, 0])).numpy() - 45
    assert stats.kstest(angle, stats.uniform(-degrees, 2 * degrees).cdf).pvalue > 0.01


def test_one_angle_holds_for_all_frames_and_points_of_a_clip(clips, layout, draw):
    out = Rotate(1.0, 60.0)(clips, layout, draw()).xyz
    turn = torch.view_as_complex(out[..., :2].contiguous())
    turn = (turn / torch.view_as_complex(clips.xyz[..., :2].contiguous())).angle()
    angles = []
    for k in (0, 1, 9):
        of_clip = turn[k][~turn[k].isnan()]
        assert of_clip.max() - of_clip.min() < 1e-4
        angles.append(of_clip.mean().item())
    assert len(np.unique(np.round(angles, 3))) == 3


# --- scale --------------------------------------------------------------------------------------


def test_scale_is_one_uniform_factor_per_clip(dots, draw):
    out = Scale(1.0, 0.7, 1.3)(*dots, draw()).xyz
    factor = out[:, 0, 0]  # of the point at (1, 1, 1)
    assert torch.equal(factor[:, 0], factor[:, 1]) and torch.equal(factor[:, 0], factor[:, 2])
    torch.testing.assert_close(out[:, 0, 1], factor * dots[0].xyz[:, 0, 1])
    assert stats.kstest(factor[:, 0].numpy(), stats.uniform(0.7, 0.6).cdf).pvalue > 0.01


def test_distortion_is_a_further_factor_per_axis(dots, draw):
    """x factor = s d_x, both U(0.7, 1.3): the logs of two axes share half of their variance."""
    factor = Scale(1.0, 0.7, 1.3, distort_p=1.0)(*dots, draw()).xyz[:, 0, 0].numpy()
    assert factor.min() > 0.7**2 and factor.max() < 1.3**2
    assert (factor[:, 0] != factor[:, 1]).all() and (factor[:, 1] != factor[:, 2]).all()
    one = stats.uniform(0.7, 0.6)
    assert factor.mean() == pytest.approx(1, abs=0.02)
    assert factor.std() == pytest.approx(((one.var() + 1) ** 2 - 1) ** 0.5, abs=0.02)
    correlation = np.corrcoef(np.log(factor).T)
    assert correlation[np.triu_indices(3, 1)] == pytest.approx([0.5] * 3, abs=0.07)


def test_distortion_by_sum_is_the_authors_code(dots, draw):
    """x factor = s + d_x: about twice the size."""
    scale = Scale(1.0, 0.7, 1.3, distort_p=1.0, distort_by_sum=True)
    factor = scale(*dots, draw()).xyz[:, 0, 0].numpy()
    assert factor.min() > 1.4 and factor.max() < 2.6
    assert factor.mean() == pytest.approx(2, abs=0.02)
    correlation = np.corrcoef(factor.T)
    assert correlation[np.triu_indices(3, 1)] == pytest.approx([0.5] * 3, abs=0.07)


def test_half_of_the_scaled_clips_are_distorted(dots, draw):
    out = Scale(0.5, 0.7, 1.3, distort_p=0.5)(*dots, draw()).xyz[:, 0, 0]
    scaled = (out != 1).any(1)
    distorted = scaled & (out[:, 0] != out[:, 1])
    assert abs(scaled.sum().item() - MANY / 2) < 4 * (MANY / 4) ** 0.5
    assert abs(distorted.sum().item() - MANY / 4) < 4 * (MANY * 3 / 16) ** 0.5


def test_scale_keeps_what_is_missing(clips, layout, draw):
    out = Scale(1.0, 0.7, 1.3, distort_p=0.5)(clips, layout, draw())
    assert torch.equal(out.xyz.isnan(), clips.xyz.isnan())
