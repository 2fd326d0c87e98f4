"""Padded batches of every difficult kind, and the randomness to feed augmentations with."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from scipy import stats

from src import landmarks as lm
from src.clips import Clips
from src.landmarks import Layout
from src.transforms.pipeline import Draw

LAYOUT = Layout(
    {
        "left_hand": lm.LEFT_HAND,
        "right_hand": lm.RIGHT_HAND,
        "lips": lm.LIPS_21,
        "arms": (lm.LEFT_SHOULDER, lm.RIGHT_SHOULDER),
        "cheeks": lm.CHEEKS,
        "means": (
            lm.LEFT_EYE_MEAN,
            lm.RIGHT_EYE_MEAN,
            lm.LEFT_BROW_MEAN,
            lm.RIGHT_BROW_MEAN,
            lm.NOSE_MEAN,
        ),
    }
)
FACE = ("lips", "cheeks", "means")

# What a clip can lack: everything that made one of the published systems stumble.
LACKS = {
    "nothing": (),
    "one frame": (),
    "two frames": (),
    "left hand": ("left_hand",),
    "right hand": ("right_hand",),
    "both hands": ("left_hand", "right_hand"),
    "face": FACE,
    "everything": tuple(LAYOUT.parts),
    "some frames": (),
    "longest": (),
}
FRAMES = {"one frame": 1, "two frames": 2, "longest": 40}


def edge_clips(seed: int = 0, n_frames: int = 40) -> Clips:
    """One clip of each kind in `LACKS`, in that order: of N(0, 1), padded with NaN."""
    rng = np.random.default_rng(seed)
    xyz = np.full((len(LACKS), n_frames, len(LAYOUT), 3), np.nan, np.float32)
    mask = np.zeros((len(LACKS), n_frames), bool)
    for k, (kind, parts) in enumerate(LACKS.items()):
        length = min(FRAMES.get(kind, 20 + k), n_frames)
        clip = rng.normal(size=(length, len(LAYOUT), 3))
        if kind in ("some frames", "longest"):
            for part in LAYOUT.parts:  # each part is lost in frames of its own
                lost = rng.random(length) < 0.4
                clip[np.ix_(lost, LAYOUT.rows(part))] = np.nan
        clip[:, list(LAYOUT.rows(*parts))] = np.nan
        xyz[k, :length], mask[k, :length] = clip, True
    label = torch.arange(len(LACKS)) % 3
    return Clips(torch.from_numpy(xyz), torch.from_numpy(mask), label)


@pytest.fixture(scope="session")
def layout() -> Layout:
    return LAYOUT


@pytest.fixture
def clips() -> Clips:
    """The edge clips, padded with NaN."""
    return edge_clips()


@pytest.fixture
def donor() -> Clips:
    """A second batch for `clips`, padded to another number of frames; other lengths, other gaps."""
    other = edge_clips(seed=1)
    order = torch.tensor([9, 4, 3, 8, 0, 1, 2, 5, 6, 7])
    return Clips(other.xyz[order, :37], other.mask[order, :37], edge_clips().label)


@pytest.fixture
def draw(donor) -> Callable[..., Draw]:
    """A function that makes the randomness of one step."""

    def make(seed: int = 0, progress: float = 0.0, donor: Clips | None = donor) -> Draw:
        generator = torch.Generator().manual_seed(seed)
        return Draw(generator, random.Random(seed), progress, donor)

    return make


def bits(x: torch.Tensor) -> torch.Tensor:
    """Equal exactly where the numbers are equal to the bit, NaN included."""
    return x.view(torch.int32)


def real(clips: Clips, k: int) -> np.ndarray:
    """The real frames of clip k, (T, L, 3)."""
    return clips.xyz[k, clips.mask[k]].numpy()


def numbered(lengths: Sequence[int], n_frames: int, points: int = 1) -> Clips:
    """Clips whose points tell where they are from: x = the frame's number, y = the clip's."""
    n = len(lengths)
    xyz = torch.zeros(n, n_frames, points, 3)
    xyz[..., 0] = torch.arange(float(n_frames))[:, None]
    xyz[..., 1] = torch.arange(float(n))[:, None, None]
    mask = torch.arange(n_frames) < torch.tensor(lengths)[:, None]
    return Clips(xyz, mask, torch.zeros(n, dtype=torch.long))


def still(points: torch.Tensor | Sequence[Sequence[float]], n: int, n_frames: int = 1) -> Clips:
    """n equal clips in which the given points stand still."""
    xyz = torch.as_tensor(points, dtype=torch.float32).repeat(n, n_frames, 1, 1)
    mask = torch.ones(n, n_frames, dtype=torch.bool)
    return Clips(xyz, mask, torch.zeros(n, dtype=torch.long))


def is_uniform(values: np.ndarray, low: float, high: float) -> bool:
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01
