"""The data that a forecaster is trained on, and how its forecasts are scored in validation."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from src.common.marks import DIGEST
from src.motion.body.pose_space import PoseSpace
from src.motion.data.corpus import MotionData
from src.motion.data.windows import SEED
from src.motion.metrics import frame_errors
from src.motion.models.forecaster import Feedback, Forecaster, Frames
from src.motion.training.losses import PointSpace


@dataclass(frozen=True)
class Task:
    """Training clips, validation windows, and a score; all frames on the network's scale."""

    train: tuple[Float[Tensor, "_ J M"], ...]  # no NaN
    # The same clips with NaN where nothing was observed; None if there are no gaps.
    truths: tuple[Float[Tensor, "_ J M"], ...] | None
    valid: Float[Tensor, "B T J M"]  # no NaN
    valid_truth: Float[Tensor, "B T J M"]  # with NaN where nothing was observed
    seed: int  # frames of a validation window that are given; the rest is forecast
    space: PoseSpace | PointSpace  # leads back from the network's scale
    score: Callable[[Tensor], float]  # of the forecasts of all validation windows; lower is better
    score_name: str  # in tables and plots

    @property
    def target(self) -> int:
        """Frames that are forecast."""
        return self.valid.shape[1] - self.seed

    @cached_property
    def digest(self) -> str:
        """A digest of all clips and windows, for marks."""
        found = hashlib.sha256()
        for clip in (*self.train, self.valid_truth):
            found.update(clip.cpu().numpy().tobytes())
        return DIGEST + found.hexdigest()


def pose_task(data: MotionData) -> Task:
    """The task of forecasting body poses, scored by joint angle summed over 24 frames."""

    def joint_angle(forecasts: Tensor) -> float:
        errors = frame_errors(data.space.decode(forecasts), data.valid_truth)
        return errors.joint_angle.sum().item()

    return Task(
        data.train, None, data.valid, data.valid, SEED, data.space, joint_angle, "joint_angle"
    )


def seconds_of(device: torch.device) -> float:
    """A clock in seconds: this thread's computing time on a CPU, elapsed time otherwise."""
    return time.thread_time() if device.type == "cpu" else time.monotonic()


@torch.no_grad()
def forecasts(
    model: Forecaster, seeds: Frames, n: int, feedback: Feedback | None = None
) -> Float[Tensor, "B N J M"]:
    """`Forecaster.forecast` of all seeds, in batches, in float32 and evaluation mode.

    Afterwards the model is in the mode it was in before.
    """
    was_training = model.training
    model.eval()
    made = [model.forecast(part, n, feedback).float() for part in seeds.split(64)]
    model.train(was_training)
    return torch.cat(made)
