"""Small members of every family, and raw clips to try them on."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from src.landmarks import LEFT_HAND, N_LANDMARKS, RIGHT_HAND
from src.models import conv_transformer, frame_deberta, hand_bert, llama
from src.models.blocks import RmsNorm
from src.recipes import SOLUTIONS
from src.recipes import frame_deberta as frame_deberta_recipe
from src.recipes.base import Recipe
from src.tflite.members import Member, member_of
from tests.models.conftest import without_small_network

SIGNS = 10
FAMILIES = ("deberta", "conv_transformer", "hand_bert", "llama", "hierarchical")
FAMILIES += tuple(without_small_network("sample"))


def deberta(
    max_len: int, seed: int = 0, base: Recipe = frame_deberta_recipe.A, norm_rows: str = "real"
) -> Member:
    """The 6th place's network, small; two of different `max_len` share their first step."""
    small = frame_deberta.Config(max_len, 16, (32, 48, 32), dropouts=(0.1, 0.1), heads=4)
    small = replace(small, norm_rows=norm_rows)
    clip = replace(base.clip, stride=replace(base.clip.stride, max_len=max_len))
    recipe = replace(
        base, name=f"deberta_{max_len}", max_len=max_len, clip=clip, model=small, distilled=small
    )
    return trained(recipe, seed)


def families(profile: str = "sample") -> dict[str, Member]:
    """One member of each family, with the points and clip steps of "sample" or "cpu".

    New families are found in `SOLUTIONS`; their networks have the size of the profile.
    """

    def small(solution: str, model: object) -> Member:
        recipe = SOLUTIONS[solution].recipes(profile)[-1]
        if hasattr(model, "hand_shapes"):
            model = replace(model, hand_shapes=recipe.model.hand_shapes)
        return trained(replace(recipe, model=model))

    numbers = SOLUTIONS["hand_bert"].recipes(profile)[-1].features.size
    hand = hand_bert.Config(layers=2, features=numbers, width=32, inner=48, heads=4)
    # The recipe's own, with one block before the convolution and one after it.
    bins = SOLUTIONS["hierarchical"].recipes(profile)[-1].model
    bins = replace(bins, dim=48, local_layers=1, global_layers=1, widths=(32, 16))
    convolutional = conv_transformer.Config(dim=24, groups=1, convs=2, kernel=5, heads=4)
    found = {name: trained(recipe) for name, recipe in without_small_network(profile).items()}
    return {
        "deberta": deberta(13, base=SOLUTIONS["frame_deberta"].recipes(profile)[0]),
        "conv_transformer": small("conv_transformer", convolutional),
        "hand_bert": small("hand_bert", hand),
        "llama": small("llama", llama.Config(heads=2, depth=2, hidden=48, head_dim=8)),
        "hierarchical": small("hierarchical", bins),
        **found,
    }


def trained(recipe: Recipe, seed: int = 0) -> Member:
    """A member with weights as training might leave them: no gain is 1, no shift is 0."""
    torch.manual_seed(seed)
    network = recipe.config_of(recipe.shipped).build(recipe.layout, SIGNS)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
    return member_of(recipe, network)


def raw_clip(frames: int, seed: int = 0) -> np.ndarray:
    """A raw clip: a body that drifts, hands that are there every other frame or so."""
    draw = np.random.default_rng((seed, frames))
    body = draw.uniform(0.2, 0.8, (1, N_LANDMARKS, 3))
    xyz = body + 0.02 * draw.standard_normal((frames, N_LANDMARKS, 3)).cumsum(0)
    for hand in (LEFT_HAND, RIGHT_HAND):
        xyz[np.ix_(draw.random(frames) < 0.3, hand)] = np.nan
    return xyz.astype(np.float32)


class Normed(nn.Module):
    """An RMS norm, whose epsilon of 1e-12 counts where a frame is all zeros, and a length."""

    def __init__(self):
        super().__init__()
        self.norm = RmsNorm(6)

    def forward(self, xyz: Tensor, mask: Tensor | None = None) -> Tensor:
        points = xyz[:, :, :2].nan_to_num()
        return self.norm(points.flatten(2)).mean(1) + points.norm(dim=-1).mean()
