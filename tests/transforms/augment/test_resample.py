"""Resizing in time against TensorFlow's image resize, which the 1st place used; stretching against
scipy's interp1d."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.interpolate import interp1d

from src.transforms.augment import resample
from tests.transforms.conftest import numbered

KINDS = {"bilinear": resample.LINEAR, "bicubic": resample.CUBIC, "nearest": resample.NEAREST}
# TensorFlow looks its cubic up in a table of 1024 places: half a place is 5e-4 frames, times the
# steepest slope between values of N(0, 1). The others are float32.
TOLERANCE = {"bilinear": 1e-5, "bicubic": 4e-3, "nearest": 0.0}
LENGTHS = [(1, 1), (1, 3), (2, 1), (2, 3), (7, 3), (7, 7), (7, 10), (20, 13), (20, 29), (31, 30)]


def one(xyz: np.ndarray, new_length: int, kind: int, padding: float = 0.0) -> np.ndarray:
    """Resample one clip, padded by three frames."""
    padded = np.concatenate([xyz, np.full((3, *xyz.shape[1:]), padding, np.float32)])
    before, after, kinds = (torch.tensor([number]) for number in (len(xyz), new_length, kind))
    new = resample.resampled(torch.from_numpy(padded)[None], before, after, new_length, kinds)
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


@pytest.mark.parametrize(("kind", "reach"), [("bilinear", 1), ("bicubic", 2), ("nearest", 0.5)])
def test_missing_is_what_a_missing_frame_has_a_part_in(kind, reach):
    """A frame at 8 is missing for one point: new frames nearer than the kernel's reach are."""
    xyz = np.random.default_rng(0).normal(size=(17, 3, 3)).astype(np.float32)
    xyz[8, 1] = np.nan
    instant = (np.arange(23) + 0.5) * 17 / 23 - 0.5
    near = (instant > 8 - reach) & (instant < 8 + reach)
    missing = np.isnan(one(xyz, 23, KINDS[kind]))
    assert near.any() and not near.all()
    for axis in range(3):
        np.testing.assert_array_equal(missing[:, 1, axis], near)
    assert not missing[:, [0, 2]].any()


def test_new_lengths_are_the_floor_of_a_uniform_factor(layout, draw):
    out = resample.Resample(1.0, 0.5, 1.5)(numbered([40] * 4000, 40), layout, draw())
    lengths = out.length.numpy()
    assert lengths.min() == 20 and lengths.max() == 59 and out.mask.shape[1] == 60
    counts = np.bincount(lengths)[20:60]
    assert stats.chisquare(counts).pvalue > 0.01


def test_kinds_come_in_their_shares(layout, draw):
    """On a parabola: nearest keeps whole numbers, cubic the parabola, the line neither."""
    clips = numbered([40] * 3000, 40)
    out = resample.Resample(1.0, 0.7, 0.9)(clips.with_(xyz=clips.xyz.square()), layout, draw())
    middle, at = out.xyz[:, 5:15, 0, 0], (torch.arange(5, 15) + 0.5) * 40
    instant = at / out.length[:, None] - 0.5
    nearest = (middle.sqrt() % 1 == 0).all(1)
    cubic = ((middle - instant.square()).abs() < 1e-2).all(1)
    assert not (nearest & cubic).any()
    shares = [nearest.float().mean(), cubic.float().mean()]
    # Binomial of 3000 and 1/3: deviation 0.0086; four of them.
    np.testing.assert_allclose(shares, [0.335, 0.335], atol=0.035)


def test_between_and_beyond_frames_it_is_scipys_line():
    rng = np.random.default_rng(0)
    lengths = np.array([9, 2, 6])
    xyz = rng.normal(size=(3, 9, 4, 3)).astype(np.float32)
    xyz[:, ::3, 1] = np.nan
    instant = np.stack([rng.uniform(-0.5, n - 0.5, 20) for n in lengths]).astype(np.float32)
    ours = resample.on_the_line(*(torch.from_numpy(x) for x in (xyz, instant, lengths))).numpy()
    for k, n in enumerate(lengths):
        line = interp1d(np.arange(n), xyz[k, :n], axis=0, fill_value="extrapolate")
        np.testing.assert_allclose(ours[k], line(instant[k]), atol=1e-5)
    assert np.isnan(ours).any()


def test_a_clip_of_one_frame_is_left_alone(layout, draw):
    clips = numbered([1] * 50, 5)
    out = resample.Stretch(1.0, low=2.0, high=4.0, shift=0.5)(clips, layout, draw())
    assert torch.equal(out.xyz[out.mask], clips.xyz[clips.mask]) and (out.length == 1).all()


def test_instants_are_evenly_spaced_from_d_to_the_last_frame_plus_d(layout, draw):
    """second-place-transformers' random_interpolate: linspace(d, n - 1 + d, round(n k))."""
    n_clips, n = 2000, 20
    stretch = resample.Stretch(p=1.0, low=0.8, high=1.5, shift=0.5)
    out = stretch(numbered([n] * n_clips, n), layout, draw())
    lengths, starts = out.length.numpy(), out.xyz[:, 0, 0, 0].numpy()
    for k in range(0, n_clips, 50):
        expected = np.linspace(starts[k], n - 1 + starts[k], lengths[k])
        np.testing.assert_allclose(out.xyz[k, : lengths[k], 0, 0], expected, atol=1e-5)
    # round(20 k), k from U(0.8, 1.5): 16 to 30, both ends half as often.
    counts = np.bincount(lengths, minlength=31)[16:31]
    assert counts.sum() == n_clips
    expected = n_clips / 14 * np.array([0.5, *[1.0] * 13, 0.5])
    assert (np.abs(counts - expected) < 4 * expected**0.5).all()
    assert starts.min() == pytest.approx(-0.5, abs=0.01)
    assert starts.max() == pytest.approx(0.5, abs=0.01)
