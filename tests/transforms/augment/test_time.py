"""Filling against numpy, cropping against slicing."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from src.transforms.augment.time import Crop, FillMissing, Window
from tests.transforms.conftest import numbered


def test_filling_is_numpys_interp_per_coordinate(clips, layout, draw):
    """recognition.md 3.3: linear in time, constant at the ends, only with 2 or more known."""
    clips.xyz[0, 1:, 3] = torch.nan  # a point that is seen once
    ours, checked = FillMissing(1.0)(clips, layout, draw()).xyz, 0
    for k in range(len(clips.label)):
        n = int(clips.length[k])
        for point, axis in np.ndindex(*clips.xyz.shape[2:]):
            old = clips.xyz[k, :n, point, axis].numpy()
            known = np.flatnonzero(~np.isnan(old))
            expected = np.interp(np.arange(n), known, old[known]) if len(known) > 1 else old
            new = ours[k, :n, point, axis].numpy()
            np.testing.assert_allclose(new, expected, atol=2e-6)  # float32 of numbers near 4
            np.testing.assert_array_equal(new[known], old[known])
            checked += 1 < len(known) < n
    assert checked > 300


N = 3000


def crop_all(length: int, draw, crop: Crop, layout, progress: float = 0.0) -> np.ndarray:
    """Frames cut off the start and the end of 3000 clips of one length: (N, 2)."""
    clips = numbered([length] * N, length + 3)
    out = crop(clips, layout, draw(progress=progress))
    left = out.length
    first = out.xyz[:, 0, 0, 0].long()
    for k in range(0, N, 500):  # what is left is a slice of what was there
        expected = clips.xyz[k, first[k] : first[k] + left[k]]
        assert torch.equal(out.xyz[k, : left[k]], expected)
    return torch.stack([first, length - first - left], 1).numpy()


@pytest.mark.parametrize("length", [20, 24, 25, 60])
def test_a_crop_cuts_1_to_a_fifth_off_one_end(draw, layout, length):
    """recognition.md 3.3: up to 20 % of the start or the end, 50/50."""
    cut = crop_all(length, draw, Crop(1.0, share=0.2, min_frames=20), layout)
    assert (cut.min(1) == 0).all()
    sizes = np.bincount(cut.max(1))
    assert sizes[0] == 0 and len(sizes) == math.floor(0.2 * length) + 1
    assert stats.chisquare(sizes[1:]).pvalue > 0.01
    assert stats.binomtest(int((cut[:, 0] > 0).sum()), N).pvalue > 0.01


@pytest.mark.parametrize(
    ("late_p", "progress", "p"),
    [(None, 0.9, 0.5), (0.25, 0.0, 0.5), (0.25, 0.499, 0.5), (0.25, 0.5, 0.25), (0.0, 0.5, 0.0)],
)
def test_late_p_holds_in_the_second_half(draw, layout, late_p, progress, p):
    crop = Crop(0.5, share=0.2, min_frames=20, late_p=late_p)
    cropped = int((crop_all(30, draw, crop, layout, progress).sum(1) > 0).sum())
    assert abs(cropped - N * p) <= 4 * (N * p * (1 - p)) ** 0.5


def test_a_window_is_frames_in_a_row_from_anywhere_in_a_longer_clip(layout, draw):
    clips, starts = numbered([30] * 500, 30), set()
    out = Window(24)(clips, layout, draw())
    assert out.mask.shape == (500, 24) and out.mask.all()
    for clip in out.xyz[..., 0, 0]:
        assert (clip.diff() == 1).all()
        starts.add(int(clip[0]))
    assert starts == set(range(7))
    short = numbered([1, 23, 24, 25], 25)  # up to the window's length they keep their bits
    out = Window(24)(short, layout, draw())
    assert out.length.tolist() == [1, 23, 24, 24]
    assert all(torch.equal(out.xyz[k, :n], short.xyz[k, :n]) for k, n in enumerate([1, 23, 24]))
