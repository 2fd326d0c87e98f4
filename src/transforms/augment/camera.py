"""Augmentations that move the camera: the body turns in space, or is seen from nearby.

MediaPipe gives depth (z) in picture widths, and measures it in each part from another origin: the
head, the hips, a wrist. Here all parts are turned about a common centre with the depth as given; a
wrong origin only shifts all points of a part alike.

Letters: **B** batch, **T** frames, **L** points.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance
from src.transforms.pipeline import Draw


def rotation(angle: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 3"]:
    """Matrices that turn about x, then about y, then about z, by angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = angle.cos().unbind(-1), angle.sin().unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def turned(
    xyz: Float[Tensor, "B T L 3"], degrees: tuple[float, float, float], draw: Draw
) -> Float[Tensor, "B T L 3"]:
    """Turn each clip about the origin by an angle from U(-degrees, degrees) about each axis."""
    limits = [math.radians(angle) for angle in degrees]
    angle = torch.stack([draw.uniform(len(xyz), low=-limit, high=limit) for limit in limits], -1)
    return xyz @ rotation(angle).transpose(-1, -2)[:, None]


@dataclass(frozen=True)
class Turn(ByChance):
    """Turn the body in space, as seen by a distant camera.

    Args:
        degrees: the largest angle about x (nod), y (turn) and z (tilt).
        centre: x and y of the fixed point: 0 for centred landmarks, 0.5 for image coordinates.
    """

    degrees: tuple[float, float, float]
    centre: float = 0.0

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        new = turned(_moved(clips.xyz, -self.centre), self.degrees, draw)
        return _moved(new, self.centre)


@dataclass(frozen=True)
class CameraAngle(ByChance):
    """Look at the body from another place: turn the body, then project it as a near camera does.

    A point that is z farther away than the centre is scaled by distance / (distance + z).

    Args:
        degrees: the largest angle about x (camera above or below) and y (to a side).
        distance: how far the camera is from the centre, in the coordinates' units.
        centre: as in `Turn`.
    """

    degrees: tuple[float, float]
    distance: float
    centre: float = 0.0

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        new = turned(_moved(clips.xyz, -self.centre), (*self.degrees, 0.0), draw)
        depth = new[..., 2:]
        # No point comes nearer than half the distance: depths are rough guesses, some far off.
        nearness = self.distance / (self.distance + depth).clamp(min=self.distance / 2)
        return _moved(torch.cat([new[..., :2] * nearness, depth], -1), self.centre)


def _moved(xyz: Float[Tensor, "B T L 3"], by: float) -> Float[Tensor, "B T L 3"]:
    """Move along x and y by the same amount."""
    xy, z = xyz.split([2, 1], dim=-1)
    return torch.cat([xy + by, z], -1)
