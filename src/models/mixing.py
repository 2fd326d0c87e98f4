"""Manifold mixup inside a network: pairs of clips are mixed before one of its layers.

Pairs and shares are drawn by transforms/mix.py; here is what a network needs to apply them.
Source: Verma et al., Manifold Mixup, arXiv 1806.05236.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class LayerMix:
    """Mix every clip with a partner before one layer.

    Args:
        partner: (B,) the clip that each clip is mixed with.
        share: (B,) how much of itself a clip keeps; 1 = it stays as it is.
        layer: the number of the layer; a tensor, so that a compiled step serves for all layers.
    """

    partner: Int[Tensor, " B"]
    share: Float[Tensor, " B"]
    layer: Int[Tensor, ""]

    def __call__(
        self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None, layer: int
    ) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"] | None]:
        """Mix before the chosen layer; before others nothing changes.

        Where two clips are mixed, a frame is real if it is real in one of them.
        """
        here = self.layer == layer
        share = torch.where(here, self.share, 1.0).to(x.dtype)[:, None, None]
        x = torch.lerp(x[self.partner], x, share)
        if mask is not None:
            mask = mask | (mask[self.partner] & here)
        return x, mask
