"""The networks: a file per family, and the layers that they share. No data files, no recipes.

Every network is called as network(features, mask, mix):

- features (B, T, ...): the numbers that the network reads in every frame; 0 = missing.
- mask (B, T): True = a real frame; None = all are real. Padding changes no output.
- mix: manifold mixup to apply before one of the layers; None = no mixup.

It returns a dictionary: logits (B, K); pooled (B, D), one vector per clip; some families add more.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Bool
from torch import Tensor, nn

from src.landmarks import Layout

Mask = Bool[Tensor, "B T"] | None  # True = a real frame; None = all are real


@runtime_checkable
class NetworkConfig(Protocol):
    """The sizes of a network; every family has its own `Config`."""

    def build(self, layout: Layout, classes: int) -> nn.Module:
        """Build the network with random weights, for the layout's points and `classes` signs."""
