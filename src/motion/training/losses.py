"""Training losses of forecasts.

Every loss is a mean over windows and frames and does not grow with the batch, so training and
validation curves can be compared. Joints whose truth is NaN were not observed and do not count.

Letters: **B** windows, **J** joints, **M** channels; `...` frames of any layout.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.kinematics import fill_joints, global_rotations
from src.motion.body.pose_space import Normaliser, PoseSpace
from src.motion.body.skeleton import PREDICTED


@dataclass(frozen=True)
class JointNorm:
    """Length of each joint's difference, summed over joints (the original's "joint_sum")."""

    unit: Literal["normalised", "raw"] = "normalised"  # the original's, or the representation's


@dataclass(frozen=True)
class MeanSquared:
    """Mean square of all channels, normalised (fairmotion's; the original's "all_mean")."""


@dataclass(frozen=True)
class WorldRotations:
    """Norm of the error of each joint's global rotation matrix, summed over joints (ours).

    For small errors it is sqrt(2) times the joint angle, by which forecasts are scored; both count
    an error of the spine in the arms too. It can only be used for poses.
    """


Loss = JointNorm | MeanSquared | WorldRotations


@dataclass(frozen=True)
class PointSpace:
    """The scale of points that are not rotations, such as landmarks."""

    normaliser: Normaliser  # leads back to the unit of the normalised clip
    # Size of that unit in the clip's own (image widths), per validation window and coordinate.
    size: Float[Tensor, "B 1 1 3"] | float = 1.0


def forecast_loss(
    loss: Loss,
    predicted: Float[Tensor, "B *frames J M"],
    truth: Float[Tensor, "B *frames J M"],
    space: PoseSpace | PointSpace,
) -> Float[Tensor, ""]:
    """The loss of a batch of predictions; predictions and truth are on the network's scale.

    NaN in the truth = not observed; poses have no NaN.
    """
    if loss == WorldRotations():
        made, true = (global_rotations(fill_joints(space.decode(x))) for x in (predicted, truth))
        # The clamp is for lengths of zero, which have no derivative.
        squares = (made - true)[..., PREDICTED, :, :].square().sum((-1, -2))
        return squares.clamp(min=1e-8).sqrt().sum(-1).mean()
    difference, count = _observed(predicted.float(), truth, space)
    joints = truth.shape[-2]
    match loss:
        case JointNorm("raw"):
            return (difference * space.normaliser.scale).norm(dim=-1).sum() * joints / count
        case JointNorm():
            return difference.norm(dim=-1).sum() * joints / count
        case MeanSquared():
            return difference.square().sum() / (count * truth.shape[-1])


def _observed(
    predicted: Tensor, truth: Tensor, space: PoseSpace | PointSpace
) -> tuple[Tensor, Tensor | int]:
    """The difference, 0 where nothing was observed, and the number of observed joints.

    Motion capture has no gaps, and searching it for them would take a fifth of a training step.
    """
    if isinstance(space, PoseSpace):
        return predicted - truth, truth[..., 0].numel()
    seen = truth.isfinite().all(-1)
    return torch.where(seen[..., None], predicted - truth, 0.0), seen.sum().clamp(min=1)
