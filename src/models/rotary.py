"""Rotary positions (RoPE): queries and keys are turned by an angle that grows with their position.

Features are turned in pairs, pair k by position * BASE^(-k / (d / 2)). There are two conventions,
and trained weights fit only one: a pair is feature k of the first half and feature k of the second
(GPT-NeoX, Hugging Face), or two neighbours (the paper, LLaMA's own code).

Letters: **T** positions, **d** features of a head.
Source: Su et al., RoFormer, arXiv 2104.09864, section 3.2.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

BASE = 10_000.0  # base of the geometric series of wavelengths


class Rotary(nn.Module):
    """Turns queries or keys; the angles of all positions are computed once.

    With `interleaved` a pair is two neighbours, else one feature of each half.
    """

    def __init__(self, features: int, positions: int, interleaved: bool = False):
        super().__init__()
        self.interleaved = interleaved
        half = features // 2
        frequency = BASE ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(positions, dtype=torch.float64)[:, None] * frequency
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, x: Float[Tensor, "*batch T d"]) -> Float[Tensor, "*batch T d"]:
        """Turn the features at every position by its angle; position 0 stays as it is."""
        cos, sin = (table[: x.shape[-2]].to(x.dtype) for table in (self.cos, self.sin))
        pairs = x.unflatten(-1, (-1, 2)).unbind(-1) if self.interleaved else x.chunk(2, dim=-1)
        first, second = pairs
        turned = first * cos - second * sin, second * cos + first * sin
        return torch.stack(turned, -1).flatten(-2) if self.interleaved else torch.cat(turned, -1)
