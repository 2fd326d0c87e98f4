"""A clip step that makes every signer right-handed. NaN stays NaN. Letters: **T** frames."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.landmarks import Layout


@dataclass(frozen=True)
class OneHanded:
    """Mirror the whole clip, x -> 1 - x, if the left hand is the one that signs.

    The signing hand is the one seen longer and higher: the mean height of its points above the
    picture's lower edge, summed over the frames that show it, is larger. A sign means the same with
    either hand, but a network does not learn that from few signers. This step comes before those
    that move the landmarks, because it measures in picture heights. Source: ours.
    """

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        left, right = (_presence(xyz, layout.rows(f"{side}_hand")) for side in ("left", "right"))
        x, yz = xyz[:, torch.tensor(layout.mirror)].split([1, 2], dim=-1)
        return torch.where(left > right, torch.cat([1 - x, yz], -1), xyz)


def _presence(xyz: Float[Tensor, "T L 3"], hand: tuple[int, ...]) -> Float[Tensor, ""]:
    """How long and how high a hand is held up."""
    height = (1 - xyz[:, torch.tensor(hand), 1]).mean(1)  # (T,), NaN where a point is missing
    return torch.where(height.isnan(), 0.0, height.clamp(min=0.0)).sum()
