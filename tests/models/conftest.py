"""Padded batches, small networks, and weights of which every one matters."""

import pytest
import torch
from torch import Tensor, nn

from src import landmarks as lm
from src.models import conv_transformer, frame_deberta, hand_bert, hierarchical, llama
from src.models.blocks import RmsNorm
from src.recipes import SOLUTIONS
from src.recipes.base import Recipe

SIGNS = 7
LENGTHS = (12, 1, 7, 2, 9)
# Float32 through some ten layers of sums in another order; values are near 1.
CLOSE = {"rtol": 1e-3, "atol": 2e-5}
MASK = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
# The 6th place's parts, with fewer points in each; the face is in two pieces.
LAYOUT = lm.Layout(
    {
        "left_hand": lm.LEFT_HAND[:5],
        "right_hand": lm.RIGHT_HAND[:5],
        "silhouette": lm.SILHOUETTE_18[:3],
        "lips": lm.LIPS_21[:6],
        "arms": lm.ARMS[:2],
        "cheeks": lm.CHEEKS,
        "means": (lm.LEFT_EYE_MEAN, lm.RIGHT_EYE_MEAN, lm.NOSE_MEAN),
    }
)
# A small network of every family, without dropout; widths differ wherever they may.
CONV_TRANSFORMER = conv_transformer.Config(
    dim=16, kernel=5, convs=2, heads=2, drop=0.0, late_drop=0.0
)
FRAME_DEBERTA = frame_deberta.Config(
    12, dim=10, widths=(16, 24, 32, 8), dropouts=(0.0,) * 3, heads=4, features=6,
    mlp_dropout=0.0, fusion_dropout=0.0,
)  # fmt: skip
HAND_BERT = hand_bert.Config(3, features=30, max_len=12, width=16, inner=24, heads=2, dropout=0.0)
LLAMA = llama.Config(
    heads=2, depth=3, hidden=24, max_len=12, head_dim=8, dropout=0.0, classifier_dropout=0.0
)
HIERARCHICAL = hierarchical.Config(
    48, dim=24, heads=2, local_layers=2, global_layers=1, dropout=0.0, patch_heads=2,
    positions=50, widths=(16, 12), local_window=3,
)  # fmt: skip

SMALL = (CONV_TRANSFORMER, FRAME_DEBERTA, HAND_BERT, LLAMA, HIERARCHICAL)


def without_small_network(profile: str) -> dict[str, Recipe]:
    """By name, the last recipe of each solution whose family is not among `SMALL`."""
    last = {name: solution.recipes(profile)[-1] for name, solution in SOLUTIONS.items()}
    known = {type(config) for config in SMALL}
    return {name: recipe for name, recipe in last.items() if type(recipe.model) not in known}


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


def normed(x: Tensor, norm: RmsNorm) -> Tensor:
    """x / (its root mean square + 1e-6), times the norm's weight: recognition.md 4.3.3."""
    return x / (x.square().mean(-1, keepdim=True).sqrt() + 1e-6) * norm.weight
