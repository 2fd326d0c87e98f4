"""Clip steps that choose points and frames, against loops written from the document."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from src.landmarks import HANDS, LEFT_HAND, Layout
from src.transforms.steps import frames as steps
from src.transforms.steps.frames import FitLength, KeepFramesWith, select
from tests.exports import exported
from tests.transforms.conftest import bits

HAND_PARTS = ("left_hand", "right_hand")


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(bits(a), bits(b))


@pytest.mark.parametrize(
    "points",
    [((2,), (0,)), ((1, 3), (0,)), ((4,), (1, 3, 2), (0, 2), (5,), (0,)), ((0, 1),), ((3,), (3,))],
)
def test_select_takes_rows_and_means_which_are_missing_where_one_of_their_rows_is(points):
    rows = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    rows[1, 1], rows[2, 2] = torch.nan, torch.nan
    expected = torch.stack([torch.stack([rows[:, k] for k in p]).mean(0) for p in points], 1)
    torch.testing.assert_close(select(rows, points), expected, equal_nan=True)


# --- KeepFramesWith -----------------------------------------------------------------------------


def test_only_frames_without_any_finger_are_dropped(layout):
    """recognition.md 3.2: drop frames where all 42 hand x are NaN."""
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(60, len(layout), 3)).astype(np.float32)
    for part in layout.parts:
        xyz[np.ix_(rng.random(60) < 0.5, layout.rows(part))] = np.nan
    xyz[7, :] = np.nan
    xyz[7, layout.rows("right_hand")[20]] = 1  # one fingertip is enough
    expected = np.stack([f for f in xyz if not np.isnan(f[: len(HANDS), 0]).all()])
    assert 20 < len(expected) < 60
    kept = KeepFramesWith(HAND_PARTS)(torch.from_numpy(xyz), layout)
    assert same(kept, torch.from_numpy(expected))


@pytest.mark.parametrize("n_frames", [1, 5])
def test_a_clip_without_hands_is_kept_whole(layout, n_frames):
    xyz = torch.randn(n_frames, len(layout), 3, generator=torch.Generator().manual_seed(0))
    xyz[:, list(layout.rows(*HAND_PARTS))] = torch.nan
    assert same(KeepFramesWith(HAND_PARTS)(xyz, layout), xyz)


# --- Stride, Subsample, Truncate ----------------------------------------------------------------


def strided(n: int, max_len: int) -> range:
    """recognition.md 3.2.2: with n > max_len, every floor(n / max_len) + 1-th, counted from 1."""
    step = n // max_len + 1 if n > max_len else 1
    return range(n)[step - 1 :: step]


def spaced(n: int, max_len: int) -> np.ndarray:
    """recognition.md 1.3 and 2.2: floor(i T / max_len), i = 0 to max_len - 1; shorter ones stay."""
    instants = np.linspace(0, n, min(n, max_len), endpoint=False)
    return np.floor(instants + 1e-9)  # floats just below a whole number


KEPT = {
    **{steps.Stride(max_len): strided for max_len in (2, 5, 25, 80)},
    **{steps.Subsample(max_len): spaced for max_len in (1, 5, 96, 512)},
    steps.Truncate(5): lambda n, max_len: range(min(n, max_len)),
}


@pytest.mark.parametrize("step", KEPT, ids=str)
def test_the_frames_kept_are_the_documents_at_every_length(layout, step):
    for n in (*range(1, 201), 511, 512, 513, 1500):
        numbers = torch.arange(float(n))[:, None, None].expand(n, len(layout), 3)
        kept = step(numbers, layout)
        assert kept[:, 0, 0].tolist() == [*KEPT[step](n, step.max_len)], n
        assert 1 <= len(kept) <= step.max_len and (kept == kept[:, :1, :1]).all()


def test_hidden_parts_are_not_detected_and_nothing_else_changes(layout):
    xyz = torch.rand(4, len(layout), 3)
    hidden, lips = steps.Hide(("lips",))(xyz, layout), list(layout.rows("lips"))
    assert hidden[:, lips].isnan().all()
    hidden[:, lips] = xyz[:, lips]
    assert torch.equal(hidden, xyz)


# --- FitLength ----------------------------------------------------------------------------------

HAND = Layout({"left_hand": LEFT_HAND})


def clip(n_frames: int, missing: float = 0.0, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-0.2, 1.2, (n_frames, len(HAND), 3)).astype(np.float32)
    xyz[rng.random(xyz.shape[:2]) < missing] = np.nan
    return torch.from_numpy(xyz)


def by_hand(xyz: np.ndarray, n_new: int) -> np.ndarray:
    """Bin by bin: frames repeated, or averaged over where they were seen."""
    edges = np.arange(n_new + 1) * len(xyz) // n_new
    pieces = [xyz[start : max(end, start + 1)] for start, end in pairwise(edges)]
    with warnings.catch_warnings(action="ignore"):  # of means of nothing
        return np.stack([np.nanmean(piece, 0, dtype=np.float64) for piece in pieces])


@pytest.mark.parametrize("n_frames", [1, 2, 15, 16, 17, 31, 32, 33, 100, 1500])
def test_it_is_what_a_loop_over_the_bins_gives(n_frames):
    """But the code's variant leaves short clips alone."""
    xyz = clip(n_frames, missing=0.3)
    fitted = FitLength(16)(xyz, HAND)
    # Means of up to a hundred float32 numbers near 1.
    np.testing.assert_allclose(fitted.numpy(), by_hand(xyz.numpy(), 16), rtol=1e-5, atol=1e-6)
    kept = FitLength(16, keep_short=True)(xyz, HAND)
    assert same(kept, xyz if n_frames <= 16 else fitted)


@pytest.mark.parametrize("keep_short", [False, True])
def test_it_exports_at_every_length(keep_short):
    step = FitLength(16, keep_short)
    program = exported(lambda xyz: step(xyz, HAND), clip(7), axis=0)
    for n_frames in (1, 2, 15, 16, 17, 40, 400):
        xyz = clip(n_frames, missing=0.3)
        torch.testing.assert_close(program(xyz), step(xyz, HAND), equal_nan=True)
