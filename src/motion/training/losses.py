"""Training losses of forecasts.

Every loss is a mean over windows and frames that does not depend on the batch's size, and counts
only what was observed (truth is not NaN), so that training and validation curves can be compared.

Letters: **B** windows, **J** joints, **M** channels; `...` frames of any layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from src.common.errors import InputError
from src.motion.body.pose_space import Normaliser, PoseSpace
from src.motion.body.rotations import angle_between


@dataclass(frozen=True)
class JointNorm:
    """Length of each joint's difference, summed over joints ("joint_sum", per-joint loss).

    Args:
        unit: "normalised", as the original; "raw" weighs channels as the representation does.
    """

    unit: Literal["normalised", "raw"] = "normalised"


@dataclass(frozen=True)
class MeanSquared:
    """Mean square of all channels, normalised ("all_mean"; fairmotion's)."""


@dataclass(frozen=True)
class Geodesic:
    """Angle between predicted and true local rotations, radians, summed over joints."""


Loss = JointNorm | MeanSquared | Geodesic


@dataclass(frozen=True)
class PointSpace:
    """Points as they are, but for the scale: what networks see of landmarks."""

    normaliser: Normaliser


def forecast_loss(
    loss: Loss,
    predicted: Float[Tensor, "B *frames J M"],
    truth: Float[Tensor, "B *frames J M"],
    space: PoseSpace | PointSpace,
) -> Float[Tensor, ""]:
    """The loss of a batch of predictions.

    Args:
        loss: which.
        predicted: on the network's scale.
        truth: the same, NaN = not observed; poses have none.
        space: back from the network's scale.

    Raises:
        InputError: a geodesic loss of something that is no rotation.
    """
    difference, count = _observed(predicted.float(), truth, space)
    joints = truth.shape[-2]
    match loss:
        case JointNorm("raw"):
            return (difference * space.normaliser.scale).norm(dim=-1).sum() * joints / count
        case JointNorm():
            return difference.norm(dim=-1).sum() * joints / count
        case MeanSquared():
            return difference.square().sum() / (count * truth.shape[-1])
        case Geodesic():
            if not isinstance(space, PoseSpace):
                raise InputError("a geodesic loss needs rotations; use JointNorm for landmarks")
            angle = angle_between(space.decode(predicted.float()), space.decode(truth))
            return angle.sum(-1).mean()


def _observed(
    predicted: Tensor, truth: Tensor, space: PoseSpace | PointSpace
) -> tuple[Tensor, Tensor | int]:
    """The difference, 0 where nothing was observed, and how many joints were.

    Motion capture has no gaps; looking for them would take a fifth of a training step.
    """
    if isinstance(space, PoseSpace):
        return predicted - truth, truth[..., 0].numel()
    seen = truth.isfinite().all(-1)
    return torch.where(seen[..., None], predicted - truth, 0.0), seen.sum().clamp(min=1)
