"""Sinusoidal positions over time.

Source: Vaswani et al., Attention is all you need, arXiv 1706.03762, section 3.5.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def sinusoids(frames: int, width: int) -> Float[Tensor, "T D"]:
    """Even channels sin, odd ones cos, at rates 10000^(-2 floor(i / 2) / D)."""
    channel = torch.arange(width, dtype=torch.float64)
    rate = 10000 ** (-2 * (channel // 2) / width)
    angle = torch.arange(frames, dtype=torch.float64)[:, None] * rate
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()
