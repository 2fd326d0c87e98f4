"""One length for all clips: by hand, against torch's pooling, exported at any length."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from src.landmarks import LEFT_HAND, Layout
from src.transforms.steps.resample import FitLength
from tests.exports import exported
from tests.transforms.conftest import bits

LAYOUT = Layout({"left_hand": LEFT_HAND})


def clip(n_frames: int, missing: float = 0.0, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-0.2, 1.2, (n_frames, len(LAYOUT), 3)).astype(np.float32)
    xyz[rng.random(xyz.shape[:2]) < missing] = np.nan
    return torch.from_numpy(xyz)


def by_hand(xyz: np.ndarray, n_new: int) -> np.ndarray:
    """Bin by bin: frames repeated, or averaged over where they were seen."""
    n, rows = len(xyz), []
    for i in range(n_new):
        start, end = i * n // n_new, (i + 1) * n // n_new
        piece = xyz[start : max(end, start + 1)].astype(np.float64)
        seen = ~np.isnan(piece)
        total = np.where(seen, piece, 0).sum(0)
        rows.append(np.where(seen.any(0), total / np.maximum(seen.sum(0), 1), np.nan))
    return np.stack(rows)


@pytest.mark.parametrize("n_frames", [1, 2, 15, 16, 17, 31, 32, 33, 100, 1500])
def test_it_is_what_a_loop_over_the_bins_gives(n_frames):
    xyz = clip(n_frames, missing=0.3)
    out = FitLength(16)(xyz, LAYOUT)
    # Means of up to a hundred float32 numbers near 1.
    np.testing.assert_allclose(out.numpy(), by_hand(xyz.numpy(), 16), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_frames", [1, 5, 16])
def test_a_short_clips_frames_are_repeated_to_the_bit_in_order(n_frames):
    xyz = clip(n_frames, missing=0.3)
    out = FitLength(16)(xyz, LAYOUT)
    expected = xyz[torch.arange(16) * n_frames // 16]
    assert torch.equal(bits(out), bits(expected))
    assert len({frame.numpy().tobytes() for frame in out}) == n_frames


@pytest.mark.parametrize("times", [2, 5])
def test_a_multiple_of_the_length_is_torchs_average_pooling(times):
    xyz = clip(16 * times)
    pooled = torch.nn.functional.adaptive_avg_pool1d(xyz.flatten(1).T[None], 16)[0].T
    out = FitLength(16)(xyz, LAYOUT)
    torch.testing.assert_close(out, pooled.unflatten(1, xyz.shape[1:]), rtol=1e-5, atol=1e-6)


def test_every_frame_of_a_long_clip_counts_once():
    one_hot = torch.zeros(100, 100, 3)
    one_hot[:, :, 0] = torch.eye(100)
    layout = Layout({"left_hand": tuple(range(100))})
    share = FitLength(16)(one_hot, layout)[..., 0]  # (new frame, old frame)
    assert ((share > 0).sum(0) == 1).all()
    torch.testing.assert_close(share.sum(1), torch.ones(16))


def test_the_codes_variant_leaves_short_clips_alone():
    step = FitLength(16, keep_short=True)
    short = clip(9, missing=0.3)
    assert torch.equal(bits(step(short, LAYOUT)), bits(short))
    long = clip(40, missing=0.3)
    torch.testing.assert_close(
        step(long, LAYOUT), FitLength(16)(long, LAYOUT), rtol=0, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("keep_short", [False, True])
def test_it_exports_at_every_length(keep_short):
    step = FitLength(16, keep_short)
    program = exported(lambda xyz: step(xyz, LAYOUT), clip(7), axis=0)
    for n_frames in (1, 2, 15, 16, 17, 40, 400):
        xyz = clip(n_frames, missing=0.3)
        torch.testing.assert_close(program(xyz), step(xyz, LAYOUT), equal_nan=True)
