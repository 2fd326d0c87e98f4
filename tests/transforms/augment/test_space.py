"""Flip, rotate, scale: closed forms and ranges; affine maps from what becomes of five points."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from src import landmarks as lm
from src.transforms.augment import space
from tests.transforms.conftest import is_uniform, numbered, still

MANY = 2000
DOTS = still([[1.0, 1.0, 1.0], [0.3, -2.0, 0.7]], MANY)
TWO = lm.Layout({"left_hand": lm.LEFT_HAND[:1], "right_hand": lm.RIGHT_HAND[:1]})


@pytest.mark.parametrize(
    ("centre", "pairs"), [(0.0, ()), (0.5, ()), (0.0, lm.LIP_PAIRS_CROSSED)], ids=str
)
def test_flip_puts_every_point_where_its_partner_was(draw, centre, pairs):
    """26th place's table crosses two pairs of lip points."""
    layout = lm.Layout({"head": lm.HEAD_26, "means": (lm.LEFT_EYE_MEAN, lm.RIGHT_EYE_MEAN)})
    partner = {k: lm.MIRROR[k] for k in lm.HEAD_26} | {lm.LEFT_EYE_MEAN: lm.RIGHT_EYE_MEAN}
    partner[lm.RIGHT_EYE_MEAN] = lm.LEFT_EYE_MEAN
    for a, b in pairs:
        assert partner[a] != b
        partner[a], partner[b] = b, a
    xyz = torch.randn(1, 2, len(layout), 3, generator=torch.Generator().manual_seed(0))
    out = space.Flip(1.0, centre, pairs)(numbered([2], 2).with_(xyz=xyz), layout, draw()).xyz
    for point, other in partner.items():
        old, new = xyz[:, :, layout.row(other)], out[:, :, layout.row(point)]
        assert torch.equal(new[..., 0], 2 * centre - old[..., 0])
        assert torch.equal(new[..., 1:], old[..., 1:])


# --- rotate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, -60.0, 180.0])
def test_rotation_by_a_known_angle(clips, degrees):
    """As complex numbers: (x + iy) e^(i angle)."""
    angle = torch.full((len(clips.label),), math.radians(degrees))
    out, old = space.rotated(clips.xyz, angle).numpy(), clips.xyz.numpy()
    plane = (old[..., 0] + 1j * old[..., 1]) * np.exp(1j * math.radians(degrees))
    np.testing.assert_allclose(out[..., 0], plane.real, atol=2e-6)  # float32 of numbers near 4
    np.testing.assert_allclose(out[..., 1], plane.imag, atol=2e-6)
    np.testing.assert_array_equal(out[..., 2], old[..., 2])


def test_angles_are_uniform_to_both_sides(draw):
    out = space.Rotate(1.0, 60.0)(DOTS, TWO, draw()).xyz[:, 0, 0]
    angle = torch.rad2deg(torch.atan2(out[:, 1], out[:, 0])).numpy() - 45
    assert is_uniform(angle, -60, 60)


# --- scale --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_sum", [False, True])
def test_distortion_is_a_further_factor_per_axis(draw, by_sum):
    """s d of both U(0.7, 1.3): the logs of two axes share half of their variance; code: s + d."""
    scale = space.Scale(1.0, 0.7, 1.3, distort_p=1.0, distort_by_sum=by_sum)
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
    out = space.Scale(0.5, 0.7, 1.3, distort_p=0.5)(DOTS, TWO, draw()).xyz[:, 0, 0]
    scaled = (out != 1).any(1)
    distorted = scaled & (out[:, 0] != out[:, 1])
    assert abs(scaled.sum().item() - MANY / 2) < 4 * (MANY / 4) ** 0.5
    assert abs(distorted.sum().item() - MANY / 4) < 4 * (MANY * 3 / 16) ** 0.5


# --- affine maps -------------------------------------------------------------------------------


def maps(augmentation: Callable, layout, draw) -> tuple[np.ndarray, np.ndarray]:
    """The linear map (n, 3, 3), columns are the images of the axes, and the translation (n, 3)."""
    clips = still([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.3, 0.8, 0.2]], MANY, n_frames=2)
    out = augmentation(clips, layout, draw()).xyz.double().numpy()
    np.testing.assert_array_equal(out[:, 0], out[:, 1])  # one map for the whole clip
    out = out[:, 0]
    linear = np.stack([out[:, k] - out[:, 0] for k in (1, 2, 3)], -1)
    fifth = np.einsum("nij,j->ni", linear, [0.3, 0.8, 0.2]) + out[:, 0]
    np.testing.assert_allclose(out[:, 4], fifth, atol=1e-6)  # it is an affine map
    return linear, out[:, 0]


@pytest.mark.parametrize("centre", [0.0, 0.5])
def test_scale_is_one_uniform_factor_per_clip_and_the_centre_stays(layout, draw, centre):
    linear, moved = maps(space.Scale(1.0, 0.7, 1.3, centre=centre), layout, draw)
    factor = linear[:, 2, 2]
    np.testing.assert_allclose(linear, factor[:, None, None] * np.eye(3), atol=3e-7)
    np.testing.assert_allclose(moved, (1 - factor)[:, None] * [centre, centre, 0], atol=3e-7)
    assert is_uniform(factor, 0.7, 1.3)


def test_points_are_scaled_then_shifted_then_rotated_by_independent_uniform_draws(layout, draw):
    """2nd place: R (f x + s) = f R x + R s."""
    at = space.ScaleShiftRotate(p=1.0, low=0.8, high=1.5, shift=0.1, degrees=15.0)
    linear, moved = maps(at, layout, draw)
    factor, angle = linear[:, 2, 2], np.arctan2(linear[:, 1, 0], linear[:, 0, 0])
    rotation = Rotation.from_euler("z", angle[:, None]).as_matrix()
    np.testing.assert_allclose(linear, factor[:, None, None] * rotation, atol=1e-6)
    shift = np.einsum("nji,nj->ni", rotation, moved)
    assert is_uniform(factor, 0.8, 1.5) and is_uniform(np.degrees(angle), -15, 15)
    assert all(is_uniform(axis, -0.1, 0.1) for axis in shift.T)
    correlation = np.corrcoef(np.stack([factor, angle, *shift.T])) - np.eye(5)
    assert np.abs(correlation).max() < 5 / MANY**0.5


def test_points_are_scaled_sheared_rotated_and_shifted_as_published(layout, draw):
    """anchors.md: scale, shear, rotation about the sheared middle, one shift; from the whole map.

    With c = cos a, s = sin a, the rotation R and the shear S, the linear part is f R S. Its columns
    give f, a and the shear; the translation is then m - R m + shift with m = 0.5 + (shears).
    """
    at = space.ScaleShearRotateShift(1.0, low=0.8, high=1.2, shear=0.15, degrees=30.0, shift=0.1)
    linear, moved = maps(at, layout, draw)
    factor = linear[:, 2, 2]
    flat = linear[:, :2, :2] / factor[:, None, None]
    # det S = 1 either way. S = [[1, k], [0, 1]] keeps the first axis' length, S = [[1, 0], [k, 1]]
    # the second one's.
    along_x = np.isclose(np.linalg.norm(flat[:, :, 0], axis=1), 1, atol=1e-5)
    along_y = np.isclose(np.linalg.norm(flat[:, :, 1], axis=1), 1, atol=1e-5)
    clear = along_x != along_y
    assert clear.mean() > 0.9
    # Either axis as often: four deviations of a binomial.
    assert abs(along_x[clear].mean() - 0.5) < 4 * 0.5 / clear.sum() ** 0.5
    cos = np.where(along_x, flat[:, 0, 0], flat[:, 1, 1])
    sin = np.where(along_x, flat[:, 1, 0], -flat[:, 0, 1])
    angle = np.arctan2(sin, cos)
    rotation = Rotation.from_euler("z", angle[:, None]).as_matrix()[:, :2, :2]
    shear = rotation.transpose(0, 2, 1) @ flat
    np.testing.assert_allclose(shear[clear][:, [0, 1], [0, 1]], 1, atol=1e-4)
    sheared = np.where(along_x, shear[:, 0, 1], shear[:, 1, 0])
    middle = 0.5 + np.stack([shear[:, 0, 1], shear[:, 1, 0]], -1)
    shift = moved[:, :2] - (middle - (rotation @ middle[..., None])[..., 0])
    np.testing.assert_allclose(shift[clear], moved[clear][:, 2:].repeat(2, 1), atol=2e-4)
    assert is_uniform(factor, 0.8, 1.2) and is_uniform(np.degrees(angle[clear]), -30, 30)
    assert is_uniform(sheared[clear], -0.15, 0.15) and is_uniform(moved[:, 2], -0.1, 0.1)
