"""How a hand is shaped, beside where its points are.

Letters: **B** batch, **T** frames, **L** points, **P** pairs of points, of both hands.
"""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.landmarks import Layout


class HandShapes(nn.Module):
    """Distances between the points of each hand in (x, y), of the hand that is seen more first.

    They are the same whichever hand signs, wherever it is held and however it is turned in the
    picture. A network learns this from many clips, but not from a few hundred. Where a point of a
    pair is missing, the distance is 0. There are no weights. Ours.
    """

    def __init__(self, layout: Layout):
        super().__init__()
        hands = layout.rows("left_hand"), layout.rows("right_hand")
        ends = [list(zip(*combinations(rows, 2), strict=True)) for rows in hands]
        # On the device, so that a step copies nothing there. (2 ends, 2 hands, P / 2)
        self.register_buffer("ends", torch.tensor(ends).transpose(0, 1), persistent=False)
        self.size = self.ends[0].numel()  # P

    def forward(self, xy: Float[Tensor, "B T L C"]) -> Float[Tensor, "B T P"]:
        """Measure; a missing or padded point comes in as 0."""
        a, b = (xy[:, :, rows, :2] for rows in self.ends.flatten(1))  # (B, T, P, 2) each
        known = (a != 0).any(-1) & (b != 0).any(-1)
        distances = torch.where(known, torch.linalg.vector_norm(a - b, dim=-1), 0.0)
        left, right = distances.chunk(2, dim=-1)
        seen_left, seen_right = (side.sum((1, 2)) for side in known.to(xy.dtype).chunk(2, dim=-1))
        swap = (seen_right > seen_left)[:, None, None]
        return torch.cat([torch.where(swap, right, left), torch.where(swap, left, right)], -1)
