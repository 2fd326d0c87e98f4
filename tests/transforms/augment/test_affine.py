"""Scale, shift, rotate in one: in this order, against numpy; what the draws are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from src.clips import Clips
from src.transforms.augment.affine import ScaleShiftRotate

AT = ScaleShiftRotate(p=1.0, low=0.8, high=1.5, shift=0.1, degrees=15.0)


def drawn(clips: Clips, layout, draw) -> tuple[np.ndarray, ...]:
    """Factor, shift (x, y, z) and angle of each clip, from what became of three points."""
    probe = torch.zeros_like(clips.xyz)
    probe[:, :, 1, 0], probe[:, :, 2, 2] = 1.0, 1.0
    out = AT(clips.with_(xyz=probe), layout, draw()).xyz[:, 0].numpy()
    along_x = out[:, 1] - out[:, 0]
    angle = np.arctan2(along_x[:, 1], along_x[:, 0])
    factor = out[:, 2, 2] - out[:, 0, 2]
    cos, sin = np.cos(-angle), np.sin(-angle)
    x, y, z = out[:, 0].T
    return factor, np.stack([cos * x - sin * y, sin * x + cos * y, z], 1), angle


def test_every_point_is_scaled_then_shifted_then_rotated(clips, layout, draw):
    factor, shift, angle = drawn(clips, layout, draw)
    out = AT(clips, layout, draw()).xyz.numpy()
    for k in range(len(factor)):
        x, y, z = np.moveaxis(factor[k] * clips.xyz[k].numpy() + shift[k], -1, 0)
        cos, sin = math.cos(angle[k]), math.sin(angle[k])
        expected = np.stack([cos * x - sin * y, sin * x + cos * y, z], -1)
        np.testing.assert_allclose(out[k], expected, atol=5e-6)  # float32, numbers up to 5


def test_draws_are_uniform_and_independent(layout, draw):
    n = 3000
    xyz = torch.zeros(n, 1, len(layout), 3)
    clips = Clips(xyz, torch.ones(n, 1, dtype=torch.bool), torch.zeros(n, dtype=torch.long))
    factor, shift, angle = drawn(clips, layout, draw)
    columns = np.stack([factor, *shift.T, np.degrees(angle)])
    limits = [(0.8, 1.5), (-0.1, 0.1), (-0.1, 0.1), (-0.1, 0.1), (-15, 15)]
    for column, (low, high) in zip(columns, limits, strict=True):
        assert column.min() == pytest.approx(low, abs=(high - low) / 100)
        assert column.max() == pytest.approx(high, abs=(high - low) / 100)
        # Five standard errors of the mean of n uniform numbers.
        error = 5 * (high - low) / (12 * n) ** 0.5
        assert column.mean() == pytest.approx((low + high) / 2, abs=error)
    correlation = np.corrcoef(columns) - np.eye(5)
    assert np.abs(correlation).max() < 5 / n**0.5


def test_missing_points_stay_missing(clips, layout, draw):
    assert torch.equal(AT(clips, layout, draw()).xyz.isnan(), clips.xyz.isnan())
