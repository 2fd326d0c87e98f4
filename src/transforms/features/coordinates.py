"""The plainest features: the landmarks themselves."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from src.landmarks import Layout


@dataclass(frozen=True)
class Coordinates:
    """The first `axes` coordinates of each landmark, with 0 where it is missing."""

    axes: int = 3

    def __call__(
        self, xyz: Float[Tensor, "B T L 3"], mask: Bool[Tensor, "B T"] | None, layout: Layout
    ) -> Float[Tensor, "B T L axes"]:
        chosen = xyz[..., : self.axes]
        return torch.where(chosen.isnan(), 0.0, chosen)
