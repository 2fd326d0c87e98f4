"""Affine maps, recovered from what becomes of five points: their order, their draws."""

from __future__ import annotations

import numpy as np

from src.transforms.augment.affine import ScaleShearRotateShift, ScaleShiftRotate
from src.transforms.pipeline import Augmentation
from tests.transforms.conftest import is_uniform, still

MANY = 2000


def maps(augmentation: Augmentation, layout, draw) -> tuple[np.ndarray, np.ndarray]:
    """The linear map (n, 3, 3), columns are the images of the axes, and the translation (n, 3)."""
    clips = still([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.3, 0.8, 0.2]], MANY, n_frames=2)
    out = augmentation(clips, layout, draw()).xyz.double().numpy()
    np.testing.assert_array_equal(out[:, 0], out[:, 1])  # one map for the whole clip
    out = out[:, 0]
    linear = np.stack([out[:, k] - out[:, 0] for k in (1, 2, 3)], -1)
    fifth = np.einsum("nij,j->ni", linear, [0.3, 0.8, 0.2]) + out[:, 0]
    np.testing.assert_allclose(out[:, 4], fifth, atol=1e-6)  # it is an affine map
    return linear, out[:, 0]


def rotations(angle: np.ndarray) -> np.ndarray:
    """(n, 3, 3), about z."""
    cos, sin, none = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    rows = (cos, -sin, none, sin, cos, none, none, none, none + 1)
    return np.stack(rows, -1).reshape(-1, 3, 3)


def test_points_are_scaled_then_shifted_then_rotated_by_independent_uniform_draws(layout, draw):
    """2nd place: R (f x + s) = f R x + R s."""
    at = ScaleShiftRotate(p=1.0, low=0.8, high=1.5, shift=0.1, degrees=15.0)
    linear, moved = maps(at, layout, draw)
    factor, angle = linear[:, 2, 2], np.arctan2(linear[:, 1, 0], linear[:, 0, 0])
    rotation = rotations(angle)
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
    at = ScaleShearRotateShift(1.0, low=0.8, high=1.2, shear=0.15, degrees=30.0, shift=0.1)
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
    rotation = rotations(angle)[:, :2, :2]
    shear = rotation.transpose(0, 2, 1) @ flat
    np.testing.assert_allclose(shear[clear][:, [0, 1], [0, 1]], 1, atol=1e-4)
    sheared = np.where(along_x, shear[:, 0, 1], shear[:, 1, 0])
    middle = 0.5 + np.stack([shear[:, 0, 1], shear[:, 1, 0]], -1)
    shift = moved[:, :2] - (middle - (rotation @ middle[..., None])[..., 0])
    np.testing.assert_allclose(shift[clear], moved[clear][:, 2:].repeat(2, 1), atol=2e-4)
    assert is_uniform(factor, 0.8, 1.2) and is_uniform(np.degrees(angle[clear]), -30, 30)
    assert is_uniform(sheared[clear], -0.15, 0.15) and is_uniform(moved[:, 2], -0.1, 0.1)
