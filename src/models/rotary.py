"""Rotary positions (RoPE): queries and keys are turned by an angle that grows with their position.

Two features are a pair, and turn together by position * base^(-k / (d / 2)), k the pair's number.
Which two is a matter of order only, but of trained weights too: feature k of the first half and
feature k of the second one (GPT-NeoX, Hugging Face), or neighbours (the paper, LLaMA's own code).

Letters: **T** positions, **d** features of a head.
Source: Su et al., RoFormer, arXiv 2104.09864, section 3.2.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Rotary(nn.Module):
    """Turns queries or keys; the angles of all positions are computed once.

    Args:
        features: d, even.
        positions: how many there are at most.
        base: of the geometric series of wavelengths.
        interleaved: a pair is two neighbours; else it is split over the two halves.
    """

    def __init__(
        self, features: int, positions: int, base: float = 10_000.0, interleaved: bool = False
    ):
        super().__init__()
        self.interleaved = interleaved
        half = features // 2
        frequency = base ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(positions, dtype=torch.float64)[:, None] * frequency
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, x: Float[Tensor, "*batch T d"]) -> Float[Tensor, "*batch T d"]:
        """Turn; position 0 stays as it is."""
        cos, sin = (table[: x.shape[-2]].to(x.dtype) for table in (self.cos, self.sin))
        if self.interleaved:
            first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
            turned = first * cos - second * sin, second * cos + first * sin
            return torch.stack(turned, -1).flatten(-2)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
