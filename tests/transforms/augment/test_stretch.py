"""Stretching time against scipy's interp1d; lengths, padding, and clips that are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d

from src.clips import Clips
from src.transforms.augment.stretch import Stretch, on_the_line

AT = Stretch(p=1.0, low=0.8, high=1.5, shift=0.5)


def test_between_and_beyond_frames_it_is_scipys_line():
    rng = np.random.default_rng(0)
    lengths = np.array([9, 2, 6])
    xyz = rng.normal(size=(3, 9, 4, 3)).astype(np.float32)
    xyz[:, ::3, 1] = np.nan
    instant = np.stack([rng.uniform(-0.5, n - 0.5, 20) for n in lengths]).astype(np.float32)
    ours = on_the_line(
        torch.from_numpy(xyz), torch.from_numpy(instant), torch.from_numpy(lengths)
    ).numpy()
    for k, n in enumerate(lengths):
        line = interp1d(np.arange(n), xyz[k, :n], axis=0, fill_value="extrapolate")
        np.testing.assert_allclose(ours[k], line(instant[k]), atol=1e-5)
    assert np.isnan(ours).any()


def test_a_clip_of_one_frame_stays_what_it_is():
    xyz = torch.rand(1, 5, 2, 3, generator=torch.Generator().manual_seed(0))
    out = on_the_line(xyz, torch.tensor([[-0.5, 0.0, 0.4]]), torch.tensor([1]))
    assert torch.equal(out, xyz[:, [0, 0, 0]])


def test_a_clip_of_one_frame_is_left_alone(layout, draw):
    clips = of_time([1] * 50, 5)
    out = Stretch(1.0, low=2.0, high=4.0, shift=0.5)(clips, layout, draw())
    assert torch.equal(out.xyz[out.mask], clips.xyz[clips.mask]) and (out.length == 1).all()


def of_time(lengths: list[int], n_frames: int) -> Clips:
    """Clips of one moving point: x is the number of the frame."""
    xyz = torch.zeros(len(lengths), n_frames, 1, 3)
    xyz[..., 0] = torch.arange(float(n_frames))[:, None]
    mask = torch.arange(n_frames) < torch.tensor(lengths)[:, None]
    return Clips(xyz, mask, torch.zeros(len(lengths), dtype=torch.long))


def test_instants_are_evenly_spaced_from_d_to_the_last_frame_plus_d(layout, draw):
    """second-place-transformers' random_interpolate: linspace(d, n - 1 + d, round(n k))."""
    n_clips, n = 2000, 20
    clips = of_time([n] * n_clips, n)
    out = AT(clips, layout, draw())
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


def test_a_missing_frame_spoils_its_two_neighbourhoods_and_no_more(layout, draw):
    clips = of_time([20], 20)
    clips.xyz[0, 8] = torch.nan
    whole, lost = (AT(c, layout, draw()) for c in (of_time([20], 20), clips))
    instant = whole.xyz[0, :, 0, 0][whole.mask[0]]
    missing = lost.xyz[0, :, 0, 0].isnan()[lost.mask[0]]
    assert torch.equal(missing, (instant > 7) & (instant < 9))


@pytest.mark.parametrize("fill", [torch.nan, 1e6])
@pytest.mark.parametrize("n_frames", [12, 13, 40])
def test_padding_does_not_reach_the_frames(fill, n_frames, layout, draw):
    lengths = [12, 1, 2, 7]
    expected = AT(of_time(lengths, 12), layout, draw())
    clips = of_time(lengths, n_frames)
    xyz = torch.where(clips.mask[..., None, None], clips.xyz, fill)
    out = AT(clips.with_(xyz=xyz), layout, draw())
    assert torch.equal(out.length, expected.length)
    for k in range(4):
        assert torch.equal(out.xyz[k, out.mask[k]], expected.xyz[k, expected.mask[k]])


def test_at_half_each_clip_is_left_alone_or_stretched(layout, draw):
    clips = of_time([10, 1, 7] * 200, 10)
    half, whole = (
        Stretch(p, low=0.8, high=1.5, shift=0.5)(clips, layout, draw()) for p in (0.5, 1.0)
    )
    moved = 0
    for k in range(600):
        got, old, new = (c.xyz[k, c.mask[k], 0, 0] for c in (half, clips, whole))
        assert torch.equal(got, old) or torch.equal(got, new)
        moved += not torch.equal(got, old)
    # Of the clips of one frame none; of the other 400 about half: four standard deviations.
    assert abs(moved - 200) < 4 * 10


def test_with_probability_zero_the_batch_keeps_its_frames(clips, layout, draw):
    assert Stretch(0.0, low=0.8, high=1.5, shift=0.5)(clips, layout, draw()) is clips
