"""Pace: which frames are shown, by hand; all else as it was."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from src.clips import Clips
from src.landmarks import LEFT_HAND, Layout
from src.transforms.augment.pace import KeepFrames, Piece, TimeWarp, UnevenSpeed
from src.transforms.pipeline import Draw
from tests.transforms.conftest import numbered

LAYOUT = Layout({"left_hand": LEFT_HAND})
LENGTHS = (1, 2, 9, 10, 25, 40, 40, 40)
NUMBERED = numbered(LENGTHS, 40, len(LAYOUT))


@dataclass(frozen=True)
class Fixed(Draw):
    """Draws that are always the same share of their range; every clip is chosen."""

    share: float = 0.5

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return torch.full(shape, low + self.share * (high - low))

    def chance(self, p: float, *shape: int) -> torch.Tensor:
        return torch.ones(shape, dtype=torch.bool)


def shown(clips: Clips, k: int) -> np.ndarray:
    """The numbers of the frames that clip k shows."""
    return clips.xyz[k, clips.mask[k], 0, 0].numpy()


def fixed(share: float) -> Fixed:
    return Fixed(torch.Generator(), None, share=share)


def warped(n: int, share: float) -> np.ndarray:
    """As Slovo's code takes frames: so many of them, evenly from the first to the last."""
    return np.linspace(0, n - 1, n if n < 10 else min(round(n / (0.8 + 0.4 * share)), n))


def uneven(n: int, share: float) -> np.ndarray:
    u, change = np.arange(n) / max(n - 1, 1), 0.9 * (2 * share - 1)
    return (u + change / (2 * np.pi) * np.sin(2 * np.pi * u)) * (n - 1)


def stretched(n: int, share: float) -> np.ndarray:
    pace = 0.6 + share * 0.4
    return share * (1 - pace) * (n - 1) + pace * np.arange(n)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (TimeWarp(1.0, low=0.8, high=1.2, min_frames=10, keep=5), warped),
        (UnevenSpeed(1.0, amount=0.9), uneven),
        (Piece(1.0, share=0.6), stretched),
    ],
    ids=["warp", "uneven", "piece"],
)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.4, 0.5, 0.7, 0.75, 1.0])
def test_a_clip_shows_the_frames_nearest_to_the_formulas(at, expected, share):
    out = at(NUMBERED, LAYOUT, fixed(share))
    for k, length in enumerate(LENGTHS):
        exact, frames = expected(length, share), shown(out, k)
        assert len(frames) == len(exact) and (frames % 1 == 0).all()
        # The nearest frame, or the other one where float32 sees a tie.
        assert (np.abs(frames - exact) < 0.5 + 1e-4).all()
        assert (np.diff(frames) >= 0).all()


def test_a_very_fast_clip_keeps_its_least_frames():
    out = TimeWarp(1.0, low=9.0, high=9.0, min_frames=10, keep=5)(NUMBERED, LAYOUT, fixed(0.5))
    assert out.length.tolist() == [1, 2, 9, 5, 5, 5, 5, 5]
    np.testing.assert_array_equal(shown(out, 7), np.rint(np.linspace(0, LENGTHS[7] - 1, 5)))
    np.testing.assert_array_equal(shown(out, 3), np.rint(np.linspace(0, 9, 5)))


KEEP = KeepFrames(1.0, keep=0.8, least=0.2)


def test_no_padded_frame_becomes_real(clips, draw):
    out = KEEP(clips.mask, draw())
    assert not (out & ~clips.mask).any()
    assert (clips.mask & ~out).any()
    assert torch.equal(KeepFrames(0.0, keep=0.1, least=0.0)(clips.mask, draw()), clips.mask)


def test_frames_are_kept_as_often_as_said(draw):
    n = 1000
    mask = torch.arange(50).expand(n, -1) < 40
    kept = KEEP(mask, draw())[:, :40].float()
    # Four standard deviations of the mean of 40,000 draws with probability 0.8.
    assert abs(kept.mean().item() - 0.8) < 4 * (0.8 * 0.2 / 40_000) ** 0.5
    assert (kept.mean(0) - 0.8).abs().max() < 5 * (0.8 * 0.2 / 1000) ** 0.5


@pytest.mark.parametrize("tenths", [2, 5, 10])
def test_never_fewer_than_the_least(clips, draw, tenths):
    out = KeepFrames(1.0, keep=0.0, least=tenths / 10)(clips.mask, draw())
    assert torch.equal(out.sum(1), -(-tenths * clips.length // 10))  # rounded up
