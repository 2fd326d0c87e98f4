"""What a forecaster is trained on and how its forecasts are scored while it is.

Letters: **B** windows, **T** frames, **J** joints, **M** channels per joint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.pose_space import PoseSpace
from src.motion.data.corpus import MotionData
from src.motion.data.windows import SEED
from src.motion.metrics import frame_errors
from src.motion.training.losses import PointSpace


@dataclass(frozen=True)
class Task:
    """Training clips, validation windows, and a score.

    Args:
        train: each (T, J, M), normalised, no NaN.
        truths: the same with NaN where nothing was observed; None = everything was.
        valid: (B, T, J, M), no NaN.
        valid_truth: the same with NaN where nothing was observed.
        seed: frames of a validation window that are given; the rest is forecast.
        space: back from the network's scale.
        score: of the forecasts of all validation windows; lower is better.
        score_name: of that number, for tables and plots.
    """

    train: tuple[Float[Tensor, "_ J M"], ...]
    truths: tuple[Float[Tensor, "_ J M"], ...] | None
    valid: Float[Tensor, "B T J M"]
    valid_truth: Float[Tensor, "B T J M"]
    seed: int
    space: PoseSpace | PointSpace
    score: Callable[[Tensor], float]
    score_name: str

    @property
    def target(self) -> int:
        """Frames that are forecast."""
        return self.valid.shape[1] - self.seed


def pose_task(data: MotionData) -> Task:
    """Forecasting body poses, scored by joint angle summed over 24 frames."""

    def joint_angle(forecasts: Tensor) -> float:
        errors = frame_errors(data.space.decode(forecasts), data.valid_truth)
        return errors.joint_angle.sum().item()

    return Task(
        data.train, None, data.valid, data.valid, SEED, data.space, joint_angle, "joint_angle"
    )


@torch.no_grad()
def forecasts(
    model: torch.nn.Module, seeds: Float[Tensor, "B T J M"], n: int, batch: int = 64
) -> Float[Tensor, "B N J M"]:
    """Forecasts of all seeds, in evaluation mode, float32; the model's mode is left as it was."""
    was_training = model.training
    model.eval()
    made = [model.forecast(part, n).float() for part in seeds.split(batch)]
    model.train(was_training)
    return torch.cat(made)
