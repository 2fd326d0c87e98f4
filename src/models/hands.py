"""Features for the shape of a hand, beside the places of its points.

Letters: **B** batch, **T** frames, **L** points, **P** pairs of points in both hands.
"""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.landmarks import Layout


class HandShapes(nn.Module):
    """Distances in (x, y) between the points of each hand; the hand seen more comes first.

    They do not depend on which hand signs, where it is held or how it is turned in the picture. A
    network learns this from many clips, but not from a few hundred. Where a point of a pair is
    missing, the distance is 0. The module has no weights. Source: ours.
    """

    def __init__(self, layout: Layout):
        super().__init__()
        hands = layout.rows("left_hand"), layout.rows("right_hand")
        ends = [list(zip(*combinations(rows, 2), strict=True)) for rows in hands]
        # A buffer, so a step copies nothing to the device. (2 ends, 2 hands, P / 2)
        self.register_buffer("ends", torch.tensor(ends).transpose(0, 1), persistent=False)
        self.size = self.ends[0].numel()  # P

    def forward(self, xy: Float[Tensor, "B T L C"]) -> Float[Tensor, "B T P"]:
        """Measure the distances; missing and padded points are passed as 0."""
        a, b = (xy[:, :, rows, :2] for rows in self.ends.flatten(1))  # (B, T, P, 2) each
        known = (a != 0).any(-1) & (b != 0).any(-1)
        distances = torch.where(known, torch.linalg.vector_norm(a - b, dim=-1), 0.0)
        left, right = distances.chunk(2, dim=-1)
        seen_left, seen_right = (side.sum((1, 2)) for side in known.to(xy.dtype).chunk(2, dim=-1))
        swap = (seen_right > seen_left)[:, None, None]
        return torch.cat([torch.where(swap, right, left), torch.where(swap, left, right)], -1)
