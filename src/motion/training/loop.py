"""The training loop of every forecaster: steps, validations, the best weights.

- Gradients are clipped before the optimiser's step (fairmotion clips after it).
- Every validation can become the best one (fairmotion considers every fifth epoch only).
- A training may be bounded by seconds. On a CPU these are its thread's, so other work on the
  machine changes little. Schedules then follow the clock, and two runs differ.
  If it is bounded by steps alone, the same seed gives the same history, also after a kill.
"""

import copy
import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from src.common import checkpoint
from src.common.errors import InputError, refusing
from src.common.files import write_atomically
from src.common.marks import changes
from src.motion.data.sampling import Sampling, WindowSampler
from src.motion.models.forecaster import Forecaster
from src.motion.training import optimisers
from src.motion.training.losses import JointNorm, Loss, MeanSquared, forecast_loss
from src.motion.training.task import Task, forecasts, seconds_of
from src.recipes.ingredients import AdamW
from src.training import optim, resume
from src.training.averaging import follow, warm_decay
from src.training.schedules import Plateau

PARTS = ("model", "averaged", "optimiser", "plateau")  # of a loop; each has a state to save


@dataclass(frozen=True, kw_only=True)
class Training:
    steps: int = 245_000  # at most; 1000 epochs of the 7,865 published training files
    seconds: float = 0.0  # at most, of CPU or GPU; 0 = no bound
    batch: int = 32  # windows of a step
    sampling: Sampling = "one per clip"  # of training windows
    loss: Loss = field(default_factory=JointNorm)  # of what `teach` predicts
    optimiser: optimisers.Optimiser = field(default_factory=lambda: AdamW(lr=1e-3))
    schedule: optimisers.Schedule = field(default_factory=optimisers.Noam)  # plateaus: of the score
    warmup: int = 1  # steps over which the rate rises linearly to the schedule's
    clip_norm: float = 1.0  # largest norm of the whole gradient; 0 = no clipping

    # Decay of the moving average of the weights, which is validated and saved in their place;
    # 0 = no average.
    average: float = 0.0
    validate_every: int = 1000  # steps

    # The training stops after this many validations in a row without an improvement. A score counts
    # as improved if it fell by at least a share of `improvement`; the best weights are those of the
    # lowest score, however little it fell.
    patience: int = 20
    improvement: float = 0.01
    seed: int = 1237  # of everything random


class Stoppable:
    """A training that is saved after every validation and, if stopped, goes on from there.

    `config` is a `Training` or a `gan.GanTraining`; the forecaster is on the task's device.
    """

    def __init__(self, task: Task, config: Any, model: Forecaster):
        self.task, self.config, self.model = task, config, model
        self.sampler = WindowSampler(
            task.train, task.truths, model.span, config.batch, config.sampling, config.seed
        )
        self.best, self.best_score = copy.deepcopy(model.state_dict()), float("inf")
        self.step, self.elapsed = 0, 0.0
        self.rows: list[dict[str, float | int]] = []

    def run(self, folder: Path) -> pd.DataFrame:
        """Train to the end; afterwards the forecaster has its best weights.

        The folder gets history.csv, best.pt and, until the training is done, last.pt, from which a
        stopped training goes on.

        Returns:
            The history, a row per validation.

        Raises:
            InputError: the loss became NaN, no forecast of any validation was finite, or the
                folder's state is of another training.
        """
        path = folder / "last.pt"
        self.load(path)
        while not self.done:
            self.until_validation()
            self.validate()
            checkpoint.save(path, self.state_dict())
            self._write(folder)
        if not math.isfinite(self.best_score):
            raise InputError(
                f"{folder}: expected finite forecasts in some validation, found none in "
                f"{len(self.rows)}; lower the optimiser's rate and delete {path}"
            )
        checkpoint.save(folder / "best.pt", self.best)
        history = self._write(folder)  # a kill may have come between the state and its table
        path.unlink(missing_ok=True)
        self.model.load_state_dict(self.best)
        return history

    def _write(self, folder: Path) -> pd.DataFrame:
        history = pd.DataFrame(self.rows)
        write_atomically(folder / "history.csv", partial(history.to_csv, index=False))
        return history

    @property
    def made_from(self) -> dict[str, object]:
        """The training's values and a digest of its data, in a form that JSON can hold."""
        values = vars(self.config).items()
        plain = {n: v if isinstance(v, float | int | str) else str(v) for n, v in values}
        return {"training": plain, "clips": self.task.digest}

    @property
    def progress(self) -> float:
        """Share of the training that is done, by steps or by the clock."""
        clock = self.elapsed / self.config.seconds if self.config.seconds else 0.0
        return min(1.0, max(self.step / self.config.steps, clock))

    @property
    def done(self) -> bool:
        """True when no steps or no time are left."""
        return self.progress >= 1

    def until_validation(self) -> None:
        """Train up to the next validation."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)  # dropout and other noise
        device = self.task.valid.device
        started = seconds_of(device) - self.elapsed
        while True:
            self.one_step()
            self.step += 1
            self.elapsed = seconds_of(device) - started
            if self.progress >= 1 or self.step % self.config.validate_every == 0:
                return

    def one_step(self) -> None:
        """Change the weights once."""
        raise NotImplementedError

    def validate(self) -> None:
        """Add a row to the history; copy the weights if they are the best so far."""
        raise NotImplementedError

    def state_dict(self) -> dict:
        """Everything that the next steps depend on."""
        return {
            "made_from": self.made_from,
            "best": self.best,
            "elapsed": self.elapsed,
            "rows": self.rows,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go back to the point where `state_dict` was taken."""
        self.best, self.elapsed, self.rows = state["best"], state["elapsed"], state["rows"]

    def load(self, path: Path) -> None:
        """Go on from the state in a file, if there is one.

        Raises:
            InputError: the file holds the state of another training.
        """
        if not path.is_file():
            return
        state = checkpoint.load(path, self.task.valid.device)
        with refusing(path, resume.EXPECTED, resume.DELETE):
            resume.compare(state, self.state_dict(), "state")
            if changed := changes(state["made_from"], self.made_from):
                raise ValueError(f"one of other values: {', '.join(changed)}")
            self.load_state_dict(state)


class Loop(Stoppable):
    """The training of a forecaster.

    A row of the history has step, rate, train_loss and valid_loss (of what `teach` predicts),
    lowest_loss and highest_loss (of single steps since the last row), train_mse (of what `teach`
    predicts), valid_mse (of forecasts), the score, seconds.
    """

    def __init__(self, model: Forecaster, task: Task, config: Training):
        super().__init__(task, config, model)
        self.optimiser = optimisers.build(config.optimiser, model)
        self.plateau = Plateau(config.schedule)
        self.averaged = copy.deepcopy(model) if config.average else model
        self.score_to_improve = float("inf")
        self.tests_since = 0  # validations since the last improvement
        self._losses: list[Tensor] = []  # and mean squares, of each step since the last validation

    @property
    def rate(self) -> float:
        config = self.config
        peak = config.optimiser.lr * self.plateau.level * min(1.0, (self.step + 1) / config.warmup)
        return optimisers.rate_at(config.schedule, peak, self.step, self.progress)

    @property
    def done(self) -> bool:
        """Also true when no patience is left."""
        return super().done or self.tests_since >= self.config.patience

    def one_step(self) -> None:
        config = self.config
        optim.set_rate(self.optimiser, self.rate)
        frames, truth = self.sampler(self.step)
        predicted, wanted = self.model.teach(frames, truth, self.progress)
        loss = forecast_loss(config.loss, predicted, wanted, self.task.space)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if config.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimiser.step()
        if config.average:
            follow(self.averaged, self.model, warm_decay(config.average, self.step), buffers=False)
        square = forecast_loss(MeanSquared(), predicted.detach(), wanted, self.task.space)
        self._losses.append(torch.stack([loss.detach(), square]))

    def validate(self) -> None:
        row = self._measure()
        score = row[self.task.score_name]
        self.plateau.consider(score)
        if score < self.best_score:
            self.best_score = score
            self.best = copy.deepcopy(self.averaged.state_dict())
        self.tests_since += 1
        if score < self.score_to_improve * (1 - self.config.improvement):
            self.score_to_improve, self.tests_since = score, 0
        self.rows.append(row)
        self._losses = []

    @torch.no_grad()
    def _measure(self) -> dict[str, float | int]:
        task, model = self.task, self.averaged
        single = torch.stack(self._losses)
        losses = single.mean(0)
        if not losses.isfinite().all():
            raise InputError(
                f"the training loss is {losses[0]:g} at step {self.step}: the rate is too high for "
                "this model, or the data are not normalised; lower the optimiser's rate"
            )
        made = forecasts(model, task.valid[:, : task.seed], task.target)
        model.eval()
        recent = (frames[:, -model.span :] for frames in (task.valid, task.valid_truth))
        taught = model.teach(*recent, progress=1.0)
        model.train()
        future = task.valid_truth[:, task.seed :]
        return {
            "step": self.step,
            "rate": self.optimiser.param_groups[0]["lr"],
            "train_loss": losses[0].item(),
            "lowest_loss": single[:, 0].min().item(),
            "highest_loss": single[:, 0].max().item(),
            "valid_loss": forecast_loss(self.config.loss, *taught, task.space).item(),
            "train_mse": losses[1].item(),
            "valid_mse": forecast_loss(MeanSquared(), made, future, task.space).item(),
            task.score_name: task.score(made),
            "seconds": self.elapsed,
        }

    def state_dict(self) -> dict:
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        numbers = {
            "scores": [self.best_score, self.score_to_improve],
            "counters": [self.tests_since, self.step],
        }
        return super().state_dict() | parts | numbers

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.best_score, self.score_to_improve = state["scores"]
        self.tests_since, self.step = state["counters"]
