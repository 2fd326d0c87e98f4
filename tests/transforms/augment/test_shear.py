"""The affine map against matrices written from the document, and what it must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from src.clips import Clips
from src.transforms.augment.shear import ScaleShearRotateShift

MANY = 2000
PUBLISHED = {"low": 0.8, "high": 1.2, "shear": 0.15, "degrees": 30.0, "shift": 0.1}
NOTHING = {"low": 1.0, "high": 1.0, "shear": 0.0, "degrees": 0.0, "shift": 0.0}


def corners(n: int = MANY) -> Clips:
    """n clips of one frame: the origin, the ends of the three axes, and (0.3, 0.8, 0.2)."""
    points = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.3, 0.8, 0.2]])
    mask = torch.ones(n, 1, dtype=torch.bool)
    return Clips(points.repeat(n, 1, 1, 1), mask, torch.zeros(n, dtype=torch.long))


def maps(layout, draw, **values: float) -> tuple[np.ndarray, np.ndarray]:
    """The linear map (n, 3, 3), columns are the images of the axes, and the translation (n, 3)."""
    augmentation = ScaleShearRotateShift(p=1.0, **(NOTHING | values))
    out = augmentation(corners(), layout, draw()).xyz[:, 0].double().numpy()
    linear = np.stack([out[:, k] - out[:, 0] for k in (1, 2, 3)], -1)
    fifth = np.einsum("nij,j->ni", linear, [0.3, 0.8, 0.2]) + out[:, 0]
    np.testing.assert_allclose(out[:, 4], fifth, atol=1e-6)  # it is an affine map
    return linear, out[:, 0]


def uniform(values: np.ndarray, low: float, high: float) -> bool:
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_scale_is_about_the_corner_of_the_image(layout, draw):
    linear, moved = maps(layout, draw, low=0.8, high=1.2)
    assert (moved == 0).all()
    factor = linear[:, 0, 0]
    np.testing.assert_allclose(linear, factor[:, None, None] * np.eye(3), atol=1e-7)
    assert uniform(factor, 0.8, 1.2)


def test_shear_is_along_one_axis_either_as_often(layout, draw):
    linear, moved = maps(layout, draw, shear=0.15)
    assert (moved == 0).all()  # sheared about the origin
    of_y, of_x = linear[:, 0, 1], linear[:, 1, 0]
    assert ((of_y == 0) != (of_x == 0)).all()
    np.testing.assert_array_equal(linear[:, [0, 1, 2], [0, 1, 2]], 1)
    along_x = of_y != 0
    # Binomial of 2000 and a half: deviation 22; four of them.
    assert abs(along_x.sum() - MANY / 2) < 90
    assert uniform(of_y[along_x], -0.15, 0.15) and uniform(of_x[~along_x], -0.15, 0.15)


def test_rotation_is_about_the_middle_of_the_image(layout, draw):
    linear, moved = maps(layout, draw, degrees=30.0)
    middle = np.array([0.5, 0.5, 0])
    np.testing.assert_allclose(linear @ middle + moved, middle[None].repeat(MANY, 0), atol=1e-6)
    gram = linear @ linear.transpose(0, 2, 1)
    np.testing.assert_allclose(gram, np.eye(3)[None].repeat(MANY, 0), atol=1e-6)
    angle = np.arctan2(linear[:, 1, 0], linear[:, 0, 0])
    assert uniform(np.degrees(angle), -30, 30)
    np.testing.assert_allclose(linear[:, 2], [[0, 0, 1]] * MANY, atol=1e-7)  # z stays


def test_shift_is_the_same_for_all_axes(layout, draw):
    linear, moved = maps(layout, draw, shift=0.1)
    np.testing.assert_allclose(linear, np.eye(3)[None].repeat(MANY, 0), atol=1e-6)
    np.testing.assert_allclose(moved, moved[:, :1].repeat(3, 1), atol=1e-7)
    assert uniform(moved[:, 0], -0.1, 0.1)


def test_all_of_it_is_the_published_product(layout, draw):
    """anchors.md: scale, shear, rotation about the sheared middle, one shift; from the whole map.

    With c = cos a, s = sin a, the rotation R and the shear S, the linear part is f R S. Its columns
    give f, a and the shear; the translation is then m - R m + shift with m = 0.5 + (shears).
    """
    linear, moved = maps(layout, draw, **PUBLISHED)
    factor = linear[:, 2, 2]
    flat = linear[:, :2, :2] / factor[:, None, None]
    # det S = 1 either way. S = [[1, k], [0, 1]] keeps the first axis' length, S = [[1, 0], [k, 1]]
    # the second one's.
    along_x = np.isclose(np.linalg.norm(flat[:, :, 0], axis=1), 1, atol=1e-5)
    along_y = np.isclose(np.linalg.norm(flat[:, :, 1], axis=1), 1, atol=1e-5)
    clear = along_x != along_y
    assert clear.mean() > 0.9
    cos = np.where(along_x, flat[:, 0, 0], flat[:, 1, 1])
    sin = np.where(along_x, flat[:, 1, 0], -flat[:, 0, 1])
    rotation = np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2)
    shear = rotation.transpose(0, 2, 1) @ flat
    np.testing.assert_allclose(shear[clear][:, [0, 1], [0, 1]], 1, atol=1e-4)
    middle = 0.5 + np.stack([shear[:, 0, 1], shear[:, 1, 0]], -1)
    shift = moved[:, :2] - (middle - (rotation @ middle[..., None])[..., 0])
    np.testing.assert_allclose(shift[clear], moved[clear][:, 2:].repeat(2, 1), atol=2e-4)


def test_missing_stays_missing_and_nothing_else_becomes_so(clips, layout, draw):
    out = ScaleShearRotateShift(p=1.0, **PUBLISHED)(clips, layout, draw())
    assert torch.equal(out.xyz.isnan(), clips.xyz.isnan())
    assert torch.equal(out.mask, clips.mask)


@pytest.mark.parametrize("values", [NOTHING])
def test_the_map_that_does_nothing_moves_nothing(values, clips, layout, draw):
    out = ScaleShearRotateShift(p=1.0, **values)(clips, layout, draw())
    # The middle is subtracted and added again.
    torch.testing.assert_close(out.xyz, clips.xyz, rtol=0, atol=1e-6, equal_nan=True)


def test_lines_stay_lines_and_one_map_holds_for_a_whole_clip(clips, layout, draw):
    """The middle of two points goes to the middle of their images, in every frame."""
    a, b = clips.xyz[:, :, :1], clips.xyz[:, :, 1:2]
    three = clips.with_(xyz=torch.cat([a, b, (a + b) / 2], 2))
    out = ScaleShearRotateShift(p=1.0, **PUBLISHED)(three, layout, draw()).xyz
    middle = (out[:, :, 0] + out[:, :, 1]) / 2
    # Float32 of numbers up to 10.
    torch.testing.assert_close(out[:, :, 2], middle, rtol=1e-4, atol=1e-5, equal_nan=True)
    still = clips.with_(xyz=clips.xyz[:, :1].expand_as(clips.xyz))
    moved = ScaleShearRotateShift(p=1.0, **PUBLISHED)(still, layout, draw()).xyz
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), equal_nan=True)
