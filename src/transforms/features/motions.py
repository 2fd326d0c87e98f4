"""1st place's features: normalised positions, and where each point will be in one and two frames.

- Normalising is part of the features and not a clip step, because the augmentations before it act
  on image coordinates: a flip about x = 0.5, a box of the image, a rotation about its middle.

Letters: **B** batch, **T** frames, **L** points, **F** = 6 L features of a frame.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from src.landmarks import LOWER_LIP, Layout, Point

EPS = 1e-6  # smallest deviation to divide by; image coordinates differ by 1e-3
UNSEEN = 0.5  # the centre if it was never detected: the middle of the image
STEPS = (1, 2)  # how many frames ahead a motion reaches


@dataclass(frozen=True)
class PositionsAndMotions:
    """(x, y) of every point about a centre, and its motions x[t + 1] - x[t] and x[t + 2] - x[t].

    The centre is the mean over time of one point, which lies on the lower lip although the write-up
    calls it a nose point. The unit is the deviation from the centre over all frames and points of
    the clip, for x and y each. A motion is 0 if one of its ends is missing or after the last frame.
    Source: anchors.md.
    """

    centre: Point = LOWER_LIP

    def __call__(
        self, xyz: Float[Tensor, "B T L 3"], mask: Bool[Tensor, "B T"] | None, layout: Layout
    ) -> Float[Tensor, "B T F"]:
        """Make the features: all positions, all first motions, all second motions."""
        xy = xyz[..., :2]
        if mask is not None:
            xy = torch.where(mask[..., None, None], xy, torch.nan)
        row = layout.row(self.centre)
        centre, seen = _mean(xy[:, :, row : row + 1])
        xy = xy - torch.where(seen, centre, UNSEEN)
        deviation = _mean(xy.square())[0].sqrt()
        xy = xy / deviation.clamp(min=EPS)
        ahead = [F.pad(xy, (0, 0, 0, 0, 0, step), value=torch.nan)[:, step:] for step in STEPS]
        features = torch.cat([x.flatten(2) for x in (xy, *(later - xy for later in ahead))], -1)
        return torch.where(features.isnan(), 0.0, features)


def _mean(
    x: Float[Tensor, "B T L 2"],
) -> tuple[Float[Tensor, "B 1 1 2"], Bool[Tensor, "B 1 1 2"]]:
    """The mean over frames and points, without NaN, and True; 0 and False if all are NaN."""
    missing = x.isnan()
    count = (~missing).sum((1, 2), keepdim=True)
    total = torch.where(missing, 0.0, x).sum((1, 2), keepdim=True)
    return total / count.clamp(min=1), count > 0
