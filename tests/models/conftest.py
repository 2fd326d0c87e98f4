"""A network small enough to look into, and batches to feed it with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from src.landmarks import (
    ARMS,
    CHEEKS,
    LEFT_EYE_MEAN,
    LEFT_HAND,
    LIPS_21,
    NOSE_MEAN,
    RIGHT_EYE_MEAN,
    RIGHT_HAND,
    SILHOUETTE_18,
    Layout,
)
from src.models.frame_deberta import Config

MAX_LEN = 12
LENGTHS = (12, 1, 7, 2, 9)


@pytest.fixture(scope="session")
def layout() -> Layout:
    """The 6th place's parts, with fewer points in each; the face is in two pieces."""
    return Layout(
        {
            "left_hand": LEFT_HAND[:5],
            "right_hand": RIGHT_HAND[:5],
            "silhouette": SILHOUETTE_18[:3],
            "lips": LIPS_21[:4],
            "arms": ARMS[:2],
            "cheeks": CHEEKS,
            "means": (LEFT_EYE_MEAN, RIGHT_EYE_MEAN, NOSE_MEAN),
        }
    )


@pytest.fixture(scope="session")
def config() -> Config:
    """Every width is another number, and nothing drops out."""
    return Config(
        MAX_LEN,
        dim=10,
        widths=(16, 24, 32, 8),
        dropouts=(0.0, 0.0, 0.0),
        heads=4,
        features=6,
        mlp_dropout=0.0,
        fusion_dropout=0.0,
    )


@pytest.fixture
def mask() -> Tensor:
    """(5, 12): clips of 12, 1, 7, 2 and 9 frames."""
    return torch.arange(MAX_LEN) < torch.tensor(LENGTHS)[:, None]


@pytest.fixture
def xyz(layout, mask) -> Tensor:
    """(5, 12, L, 3) normalised landmarks; 0 = missing or padded."""
    generator = torch.Generator().manual_seed(0)
    xyz = torch.randn(*mask.shape, len(layout), 3, generator=generator)
    missing = torch.rand(*mask.shape, len(layout), generator=generator) < 0.2
    return torch.where(missing[..., None] | ~mask[..., None, None], 0.0, xyz)
