"""The motion-taxonomy prior: eighteen motion codes gate the input of a transformer.

x' = x * (W2 sigmoid(W1 x + b1) + b2), frame by frame. The 18 codes are learned, because the
published embeddings are not available. Reading: the encoder reads x', the decoder x.

Source: motion-prediction.txt 2.1 and Fig. 2; Paulius et al., A motion taxonomy for manipulation
embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.motion.models import transformer

CODES = 18


@dataclass(frozen=True, kw_only=True)
class Config:
    transformer: transformer.Config = transformer.Config()

    # Start with W2 = 0 and b2 = 1, which leave the input as it is, instead of torch's default.
    identity: bool = False


class TaxonomyPrior(nn.Module):
    """The gate of a pose of C channels, see `Config`."""

    def __init__(self, pose: int, identity: bool):
        super().__init__()
        self.codes = nn.Linear(pose, CODES)
        self.gate = nn.Linear(CODES, pose)
        if identity:
            nn.init.zeros_(self.gate.weight)
            nn.init.ones_(self.gate.bias)

    def forward(self, x: Float[Tensor, "*n C"]) -> Float[Tensor, "*n C"]:
        return x * self.gate(torch.sigmoid(self.codes(x)))


def build(config: Config, joints: int, channels: int) -> transformer.Transformer:
    """fairmotion's transformer, with the prior in front of its encoder."""
    prior = TaxonomyPrior(joints * channels, config.identity)
    return transformer.Transformer(config.transformer, joints, channels, prior)
