"""Clip steps that move landmarks into a common frame of reference. NaN stays NaN."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.landmarks import LEFT_SHOULDER, RIGHT_SHOULDER, Layout

EPS = 1e-6  # added to a deviation to avoid 0 / 0; image coordinates differ by 1e-3


@dataclass(frozen=True)
class Standardise:
    """Subtract the mean and divide by the standard deviation of each coordinate.

    Each of x, y and z has one mean and one population deviation, over all detected points of all
    frames of the clip. A clip in which nothing was detected stays as it is.
    Source: 6th place, recognition.md 3.2.
    """

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        missing = xyz.isnan()
        count = (~missing).sum((0, 1)).clamp(min=1)  # (3,)
        mean = torch.where(missing, 0.0, xyz).sum((0, 1)) / count
        centred = xyz - mean
        variance = torch.where(missing, 0.0, centred * centred).sum((0, 1)) / count
        return centred / (variance.sqrt() + EPS)


@dataclass(frozen=True)
class CentreOn:
    """Put the named parts at the origin: subtract their mean over all frames from every point.

    The mean is one vector per clip, so the signer's movement is kept. A point with a missing
    coordinate does not count; a clip in which those parts were never detected stays as it is.
    Source: 26th place, recognition.md 2.2.
    """

    parts: tuple[str, ...]

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        points = xyz[:, torch.tensor(layout.rows(*self.parts))]
        missing = points.isnan().any(-1, keepdim=True)
        count = (~missing).sum((0, 1)).clamp(min=1)  # (1,)
        return xyz - torch.where(missing, 0.0, points).sum((0, 1)) / count


@dataclass(frozen=True)
class FromShoulders:
    """Put the middle of the shoulders at the origin, and scale their distance to `width`.

    Middle and distance (in the image) are means over the frames that show both shoulders, so the
    signer's movement is kept. z is only scaled, because each part measures z from another point.
    The result depends neither on where the signer stands nor on how much of the hands is shown.
    With a width of 1.5, coordinates are about as large as standardised ones. A clip that never
    shows both shoulders, at two different places, is standardised. Source: ours.

    Args:
        origin: a landmark whose mean position becomes the origin instead, in clips that show it.
    """

    width: float
    origin: int | None = None

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        left, right = (xyz[:, layout.row(point)] for point in (LEFT_SHOULDER, RIGHT_SHOULDER))
        apart = (left - right)[:, :2].square().sum(-1, keepdim=True).sqrt()
        # Shoulders at the same point do not count: somebody may have stored missing points as 0.
        seen = ~(left + right).isnan().any(-1, keepdim=True) & (apart > 0)  # (T, 1)
        count = seen.sum(0)
        origin = torch.where(seen, (left + right) / 2, 0.0).sum(0) / count.clamp(min=1)  # (3,)
        if self.origin is not None:
            point = xyz[:, layout.row(self.origin)]
            shown = ~point.isnan().any(-1, keepdim=True)  # (T, 1)
            mean = torch.where(shown, point, 0.0).sum(0) / shown.sum(0).clamp(min=1)
            origin = torch.where(shown.sum(0) > 0, mean, origin)
        apart = torch.where(seen, apart, 0.0).sum(0) / count.clamp(min=1)  # (1,)
        counted = (xyz - origin * torch.tensor([1.0, 1.0, 0.0])) * self.width / (apart + EPS)
        return torch.where(count > 0, counted, Standardise()(xyz, layout))


@dataclass(frozen=True)
class IntoImage:
    """Move the origin to (0.5, 0.5), the middle of the image, for augmentations that need it."""

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        return xyz + torch.tensor([0.5, 0.5, 0.0])


@dataclass(frozen=True)
class Enlarge:
    """Enlarge each of the named parts about its own mean, frame by frame.

    A hand is small beside the space that it moves in: in standardised clips, its shape makes a
    tenth of the difference that its place makes, and a network does not learn to read it from few
    clips. In frames where one of its points is missing, a part stays as it is. Source: ours.
    """

    parts: tuple[str, ...]
    factor: float

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        pieces = [*xyz.split([len(points) for points in layout.parts.values()], dim=1)]
        for k, part in enumerate(layout.parts):
            if part in self.parts:
                centre = pieces[k].mean(1, keepdim=True)
                larger = centre + self.factor * (pieces[k] - centre)
                pieces[k] = torch.where(larger.isnan(), pieces[k], larger)
        return torch.cat(pieces, dim=1)


@dataclass(frozen=True)
class MirrorHands:
    """Mirror the hands, x -> 1 - x in image coordinates, and nothing else.

    Slovo's code does this to every clip, a remnant of data with another dominant hand; its document
    does not mention it. Source: recognition.md 4.2.
    """

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        hands = layout.rows("left_hand", "right_hand")
        sign = torch.tensor([-1.0 if row in hands else 1.0 for row in range(len(layout))])
        x, yz = xyz.split([1, 2], dim=-1)
        return torch.cat([sign[:, None] * x + (1 - sign[:, None]) / 2, yz], -1)
