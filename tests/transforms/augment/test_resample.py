"""Resampling against TensorFlow's image resize, which the 1st place used, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from src.clips import Clips
from src.transforms.augment.resample import CUBIC, LINEAR, NEAREST, Resample, resampled, tap_weights

KINDS = {"bilinear": LINEAR, "bicubic": CUBIC, "nearest": NEAREST}
# TensorFlow looks its cubic up in a table of 1024 places: half a place is 5e-4 frames, times the
# steepest slope between values of N(0, 1). The others are float32.
TOLERANCE = {"bilinear": 1e-5, "bicubic": 4e-3, "nearest": 0.0}
LENGTHS = [(1, 1), (1, 3), (2, 1), (2, 3), (7, 3), (7, 7), (7, 10), (20, 13), (20, 29), (31, 30)]


def one(xyz: np.ndarray, new_length: int, kind: int, padding: float = 0.0) -> np.ndarray:
    """Resample one clip, padded by three frames."""
    padded = np.concatenate([xyz, np.full((3, *xyz.shape[1:]), padding, np.float32)])
    new = resampled(
        torch.from_numpy(padded)[None],
        torch.tensor([len(xyz)]),
        torch.tensor([new_length]),
        new_length,
        torch.tensor([kind]),
    )
    return new[0].numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("length", "new_length"), LENGTHS)
def test_resampled_is_tensorflows_resize(kind, length, new_length):
    import tensorflow as tf

    rng = np.random.default_rng(length * 100 + new_length)
    xyz = rng.normal(size=(length, 5, 3)).astype(np.float32)
    expected = tf.image.resize(xyz, (new_length, 5), kind).numpy()
    ours = one(xyz, new_length, KINDS[kind], padding=np.nan)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE[kind])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_same_number_of_frames_changes_no_bit(kind):
    xyz = np.random.default_rng(0).normal(size=(9, 4, 3)).astype(np.float32)
    xyz[3, 2] = np.nan
    np.testing.assert_array_equal(one(xyz, 9, kind), xyz)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_weights_are_an_interpolation(kind):
    """They add up to 1, and at a frame only that frame counts."""
    after = torch.linspace(0, 1, 101)[None]
    weights = tap_weights(after, torch.tensor([kind]))[0]
    torch.testing.assert_close(weights.sum(-1), torch.ones(101), rtol=0, atol=1e-6)
    assert weights[0].tolist() == [0, 1, 0, 0] and weights[-1].tolist() == [0, 0, 1, 0]


def test_the_cubic_continues_every_parabola():
    """Keys' kernel with a = -1/2 is exact for polynomials of degree two; with -3/4 it is not."""
    t = np.arange(12, dtype=np.float32)
    xyz = np.stack([np.ones(12), t, t * t], -1, dtype=np.float32)[:, None]
    new = one(xyz, 17, CUBIC)[:, 0]
    inside = (new[:, 1] > 1) & (new[:, 1] < 10)  # four frames around
    assert inside.sum() > 10
    # Float32 of squares up to 100.
    np.testing.assert_allclose(new[inside, 2], new[inside, 1] ** 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "reach"), [(LINEAR, (1, 1)), (CUBIC, (2, 2)), (NEAREST, (0.5, 0.5))]
)
def test_missing_is_what_a_missing_frame_has_a_part_in(kind, reach):
    """A frame at 8 is missing for one point: new frames nearer than the kernel's reach are."""
    xyz = np.random.default_rng(0).normal(size=(17, 3, 3)).astype(np.float32)
    xyz[8, 1] = np.nan
    instant = (np.arange(23) + 0.5) * 17 / 23 - 0.5
    near = (instant > 8 - reach[0]) & (instant < 8 + reach[1])
    missing = np.isnan(one(xyz, 23, kind))
    assert near.any() and not near.all()
    for axis in range(3):
        np.testing.assert_array_equal(missing[:, 1, axis], near)
    assert not missing[:, [0, 2]].any()


def many(n: int, lengths: list[int]) -> Clips:
    """n clips for each length; a point tells its frame."""
    length = torch.tensor(lengths).repeat_interleave(n)
    n_frames = max(lengths)
    xyz = torch.arange(n_frames, dtype=torch.float32)[None, :, None, None]
    mask = torch.arange(n_frames) < length[:, None]
    return Clips(xyz.repeat(len(length), 1, 2, 3), mask, torch.zeros(len(length)).long())


def test_new_lengths_are_the_floor_of_a_uniform_factor(layout, draw):
    out = Resample(1.0, 0.5, 1.5)(many(4000, [40]), layout, draw())
    lengths = out.length.numpy()
    assert lengths.min() == 20 and lengths.max() == 59 and out.mask.shape[1] == 60
    counts = np.bincount(lengths)[20:60]
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_a_clip_keeps_a_frame_and_none_is_beyond_the_factor(length, layout, draw):
    out = Resample(1.0, 0.5, 1.5)(many(500, [length, 50]), layout, draw())
    lengths = out.length[:500]
    assert lengths.min() == max(1, length // 2)
    assert lengths.max() <= max(1, int(1.5 * length))


def test_kinds_come_in_their_shares(layout, draw):
    """A point's x is its frame: nearest keeps whole numbers, the line stays within 0 to 39."""
    clips = many(3000, [40])
    square = clips.with_(xyz=clips.xyz.square())  # on a parabola, cubic and line differ
    out = Resample(1.0, 0.7, 0.9)(square, layout, draw())
    middle, at = out.xyz[:, 5:15, 0, 0], (torch.arange(5, 15) + 0.5) * 40
    instant = at / out.length[:, None] - 0.5
    nearest = (middle.sqrt() % 1 == 0).all(1)
    cubic = ((middle - instant.square()).abs() < 1e-2).all(1)
    assert not (nearest & cubic).any()
    shares = [nearest.float().mean(), cubic.float().mean()]
    # Binomial of 3000 and 1/3: deviation 0.0086; four of them.
    np.testing.assert_allclose(shares, [0.335, 0.335], atol=0.035)


def test_probability_zero_keeps_the_padding(clips, layout, draw):
    assert Resample(0.0, 0.5, 1.5)(clips, layout, draw()) is clips
