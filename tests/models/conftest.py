"""Padded batches, and weights of which every one matters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

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

SIGNS = 7
LENGTHS = (12, 1, 7, 2, 9)
# Float32 through some ten layers of sums in another order; values are near 1.
CLOSE = {"rtol": 1e-3, "atol": 2e-5}
MASK = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
# The 6th place's parts, with fewer points in each; the face is in two pieces.
LAYOUT = Layout(
    {
        "left_hand": LEFT_HAND[:5],
        "right_hand": RIGHT_HAND[:5],
        "silhouette": SILHOUETTE_18[:3],
        "lips": LIPS_21[:6],
        "arms": ARMS[:2],
        "cheeks": CHEEKS,
        "means": (LEFT_EYE_MEAN, RIGHT_EYE_MEAN, NOSE_MEAN),
    }
)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all weights and statistics anew, of a size at which each of them matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        drawn = torch.randn(value.shape, generator=generator)
        if value.dim() > 1:
            drawn = drawn / value[0].numel() ** 0.5
        if name.lower().endswith(("norm.weight", "running_var", "std")):
            drawn = 0.5 + drawn.abs()
        value.copy_(drawn)
    return module


@pytest.fixture(scope="session")
def layout() -> Layout:
    return LAYOUT


@pytest.fixture
def mask() -> Tensor:
    """(5, 12): clips of 12, 1, 7, 2 and 9 frames."""
    return MASK.clone()


def features(*shape: int, seed: int = 0) -> Tensor:
    """(5, 12, *shape), about N(0, 1); 0 = missing, as every fifth one is, or padded."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*MASK.shape, *shape, generator=generator)
    missing = torch.rand(*MASK.shape, shape[0], generator=generator) < 0.2
    missing = missing | ~MASK[..., None]
    return torch.where(missing.view(*missing.shape, *[1] * (len(shape) - 1)), 0.0, x)
