"""The training loop of every forecaster: steps, validations, the best weights kept.

- Gradients are clipped before the step they are for (fairmotion clips after it).
- Every validation may become the best one (fairmotion looks at every fifth epoch only).
- A training may be bounded by seconds; schedules then follow the clock, and two runs differ.
  Bounded by steps alone, the same seed gives the same history, broken off or not.
- Metrics are computed in full precision whatever the training's.
"""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from torch import Tensor, nn

from src.common import checkpoint
from src.common.errors import InputError
from src.common.files import write_atomically
from src.motion.data.sampling import Sampling, WindowSampler
from src.motion.models.forecaster import Forecaster
from src.motion.training import optimisers
from src.motion.training.losses import JointNorm, Loss, MeanSquared, forecast_loss
from src.motion.training.task import Task, forecasts
from src.training import resume
from src.training.averaging import follow, warm_decay


@dataclass(frozen=True, kw_only=True)
class Training:
    """How to train.

    Args:
        steps: at most.
        seconds: at most, 0 = no bound.
        batch: windows of a step.
        sampling: of training windows.
        loss: of what the model is taught.
        optimiser: and its peak rate.
        schedule: of the rate.
        clip_norm: longest gradient of all parameters together; 0 = no clipping.
        average: decay of the moving average of the weights, which is what is validated and kept;
            0 = the weights themselves.
        validate_every: steps between validations.
        patience: validations without an improvement of `improvement` after which training stops.
        improvement: share by which the score must fall to count for the patience; any fall makes
            the best weights.
        precision: of matrix products; metrics are always in full precision.
        seed: of everything random.
    """

    steps: int = 100_000
    seconds: float = 0.0
    batch: int = 32
    sampling: Sampling = "one per clip"
    loss: Loss = field(default_factory=JointNorm)
    optimiser: optimisers.Optimiser = field(default_factory=optimisers.Adam)
    schedule: optimisers.Schedule = field(default_factory=optimisers.Noam)
    clip_norm: float = 1.0
    average: float = 0.0
    validate_every: int = 1000
    patience: int = 20
    improvement: float = 0.01
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 1237


def train(model: Forecaster, task: Task, config: Training, folder: Path) -> pd.DataFrame:
    """Train a model in place; afterwards it has the best weights.

    Args:
        model: on the task's device.
        task: what to train on.
        config: how.
        folder: gets history.csv, best.pt, and last.pt until the training is done; a training that
            was broken off there goes on.

    Returns:
        The history: a row per validation with step, rate, train_loss and valid_loss (the loss as
        taught), train_mse (as taught) and valid_mse (of forecasts), the score, seconds.

    Raises:
        InputError: no training clip is long enough, the loss became NaN, or the folder's state is
            of another training.
    """
    loop = Loop(model, task, config)
    path = folder / "last.pt"
    if path.is_file():
        state = checkpoint.load(path, task.valid.device)
        with resume.refusing_foreign(path):
            loop.load_state_dict(state)
    while not loop.done:
        loop.until_validation()
        loop.validate()
        checkpoint.save(path, loop.state_dict())
        loop.write_history(folder / "history.csv")
    model.load_state_dict(loop.best)
    checkpoint.save(folder / "best.pt", loop.best)
    path.unlink(missing_ok=True)
    return loop.history


class Loop:
    """The state of a training between two validations."""

    def __init__(self, model: Forecaster, task: Task, config: Training):
        self.model, self.task, self.config = model, task, config
        self.sampler = WindowSampler(
            task.train, task.truths, model.span, config.batch, config.sampling, config.seed
        )
        self.optimiser = optimisers.build(config.optimiser, model.parameters())
        self.judged = copy.deepcopy(model) if config.average else model
        self.best = copy.deepcopy(model.state_dict())
        self.best_score = self.counted_score = float("inf")
        self.stale = self.step = 0
        self.elapsed = 0.0
        self.rows: list[dict[str, float | int]] = []

    @property
    def identity(self) -> str:
        """A digest of how is trained and on what; normalised clips tell of all training clips."""
        lengths, mean = [len(clip) for clip in self.task.train], self.task.valid.double().mean()
        about = f"{self.config} {lengths} {mean:.6g}"  # sums differ in the last digits on GPUs
        return hashlib.sha256(about.encode()).hexdigest()[:16]

    @property
    def progress(self) -> float:
        """Share of the training that is done, by steps or by the clock."""
        clock = self.elapsed / self.config.seconds if self.config.seconds else 0.0
        return min(1.0, max(self.step / self.config.steps, clock))

    @property
    def done(self) -> bool:
        """No steps, time or patience left."""
        return self.progress >= 1 or self.stale >= self.config.patience

    @property
    def history(self) -> pd.DataFrame:
        """A row per validation."""
        return pd.DataFrame(self.rows)

    def until_validation(self) -> None:
        """Train up to the next validation."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)  # dropout, teacher forcing
        self.model.train()
        self._losses: list[Tensor] = []
        started, before = time.monotonic(), self.elapsed
        while True:
            self._losses.append(self._step())
            self.step += 1
            self.elapsed = before + time.monotonic() - started
            if self.progress >= 1 or self.step % self.config.validate_every == 0:
                return

    def _step(self) -> Tensor:
        """One step; returns loss and mean square, detached."""
        config = self.config
        rate = optimisers.rate_at(
            config.schedule, config.optimiser.rate, self.step, self.progress, self.stale
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        frames, truth = self.sampler(self.step)
        device = frames.device.type
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bf16"):
            predicted, wanted = self.model.teach(frames, truth, self.progress)
        loss = forecast_loss(config.loss, predicted, wanted, self.task.space)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if config.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimiser.step()
        if config.average:
            follow(self.judged, self.model, warm_decay(config.average, self.step), buffers=False)
        square = forecast_loss(MeanSquared(), predicted.detach(), wanted, self.task.space)
        return torch.stack([loss.detach(), square])

    def validate(self) -> None:
        """Score the weights on the validation windows, keep them if they are the best."""
        row = self._measure()
        if row[self.task.score_name] < self.best_score:
            self.best_score = row[self.task.score_name]
            self.best = copy.deepcopy(self.judged.state_dict())
        if self.best_score < self.counted_score * (1 - self.config.improvement):
            self.counted_score, self.stale = self.best_score, 0
        else:
            self.stale += 1
        self.rows.append(row)

    @torch.no_grad()
    def _measure(self) -> dict[str, float | int]:
        task, model = self.task, self.judged
        losses = torch.stack(self._losses).mean(0)
        if not losses.isfinite().all():
            raise InputError(
                f"the training loss is {losses[0]:g} at step {self.step}: the rate is too high for "
                "this model, or the data are not normalised; lower the optimiser's rate"
            )
        made = forecasts(model, task.valid[:, : task.seed], task.target)
        model.eval()
        recent = slice(-min(model.span, task.valid.shape[1]), None)
        taught = model.teach(task.valid[:, recent], task.valid_truth[:, recent], progress=1.0)
        model.train()
        future = task.valid_truth[:, task.seed :]
        return {
            "step": self.step,
            "rate": self.optimiser.param_groups[0]["lr"],
            "train_loss": losses[0].item(),
            "valid_loss": forecast_loss(self.config.loss, *taught, task.space).item(),
            "train_mse": losses[1].item(),
            "valid_mse": forecast_loss(MeanSquared(), made, future, task.space).item(),
            task.score_name: task.score(made),
            "seconds": self.elapsed,
        }

    def write_history(self, path: Path) -> None:
        """Replace the csv."""
        write_atomically(path, lambda part: self.history.to_csv(part, index=False))

    def state_dict(self) -> dict:
        """Everything that the next steps depend on."""
        return {
            "training": self.identity,
            "model": self.model.state_dict(),
            "judged": self.judged.state_dict(),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "scores": [self.best_score, self.counted_score],
            "counters": [self.stale, self.step],
            "elapsed": self.elapsed,
            "rows": self.rows,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            ValueError: it is the state of another training.
        """
        resume.compare(state, self.state_dict(), "state")
        if state["training"] != self.identity:
            raise ValueError("state.training: of other values, or on other clips")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.judged.load_state_dict(state["judged"])
        self.best = state["best"]
        self.best_score, self.counted_score = state["scores"]
        self.stale, self.step = state["counters"]
        self.elapsed, self.rows = state["elapsed"], state["rows"]
