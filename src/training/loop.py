"""One epoch and one step of training, and the state that they change.

Nothing in a step waits for the device, but for fp16's scaler, which asks if a gradient overflowed:
the host plans the epoch, and losses are summed on the device.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from src.clips import Clips
from src.common.errors import InputError, check_choice
from src.dataset.batches import ClipSet, donors, plan
from src.models.blocks import set_progress
from src.recipes.base import Recipe
from src.training import averaging, awp, memory, optim, schedules
from src.training.distributed import Processes
from src.training.roles import Trainee
from src.training.teachers import Guide
from src.transforms.pipeline import Draw

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Settings:
    """How to train, apart from what the recipe says."""

    seed: int = 0  # of everything random
    precision: Precision = "auto"  # of matrix products; auto = what the device computes natively
    compile: bool = False  # the models' forward and backward by torch.compile, for GPUs
    micro_batch: int = 0  # clips whose gradients are computed at once; 0 = as many as fit
    # How many tests on held-out clips, at most one an epoch, evenly spaced; the last one after the
    # last epoch, also if this is 0.
    tests: int = 10

    def __post_init__(self) -> None:
        for name in ("micro_batch", "tests"):
            if (found := getattr(self, name)) < 0:
                raise InputError(f"{name.upper()}: expected 0 or more, found {found}")
        check_choice("PRECISION", self.precision, get_args(Precision))


@dataclass(frozen=True)
class Batch:
    """What one step needs: the clips, their numbers, and the step's randomness."""

    clips: Clips
    index: Tensor
    draw: Draw

    def parts(self, size: int) -> Iterator[Batch]:
        """Split the batch into as few micro-batches of at most `size` clips as possible.

        A batch is sorted by length, so its clips are dealt like cards: each part has all lengths.
        """
        n_parts = -(-len(self.index) // size)
        for first in range(n_parts):
            part, donor = slice(first, None, n_parts), self.draw.donor
            if donor is not None:
                donor = donor.part(part, copies=len(donor.label) // len(self.index))
            draw = replace(self.draw, donor=donor)
            yield Batch(self.clips.part(part), self.index[part], draw)


class Loop:
    """The models of a training, their optimiser and averages."""

    def __init__(
        self,
        recipe: Recipe,
        trainee: Trainee,
        settings: Settings,
        processes: Processes,
        guide: Guide | None = None,
    ):
        self.recipe, self.trainee, self.guide = recipe, trainee, guide
        self.settings, self.processes = settings, processes
        self.optimiser = optim.build(recipe.optimiser, trainee.trained.values())
        self.plateau = schedules.Plateau(recipe.schedule)
        self.soup = averaging.soup(trainee.leader)
        dtype = precision_of(settings.precision, processes.device)
        self.autocast = torch.autocast(
            processes.device.type, dtype, enabled=dtype is not torch.float32
        )
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=dtype is torch.float16)
        # All processes use one size, because they exchange statistics in every micro-batch.
        share = recipe.batch_size // processes.world
        self.micro_batch = settings.micro_batch or processes.from_rank_zero(
            partial(memory.fitting, trainee, share, processes.device, self.autocast)
        )
        wrapped = processes.wrap(trainee)
        self.losses_of = torch.compile(wrapped) if settings.compile else wrapped

    def epoch(self, train: ClipSet, epoch: int) -> dict[str, float | int]:
        """Train one epoch; returns its record for the history."""
        planned = self._plan(train, epoch)
        self.trainee.train()

        # Losses are summed on the device: reading one here would make the host wait for the step.
        totals: dict[str, Tensor] = {}
        for number, batch in enumerate(self.batches(train, planned, epoch)):
            for role, loss in self.step(batch, epoch * len(planned) + number).items():
                totals[role] = totals.get(role, 0.0) + loss

        rate = max(group["lr"] for group in self.optimiser.param_groups)
        record = {"epoch": epoch + 1, "rate": rate}
        for role, total in totals.items():
            record[f"{role}_loss"] = float(self.processes.mean(total / len(planned)))
        return record

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One step: losses, gradients, new weights, new averages."""
        recipe, progress = self.recipe, batch.draw.progress

        # The learning rate and layers such as late dropout depend on the progress.
        rate = recipe.optimiser.lr * schedules.factor(recipe.schedule, progress, recipe.epochs)
        optim.set_rate(self.optimiser, rate * self.plateau.level)
        for model in self.trainee.models.values():
            set_progress(model, progress)

        # With adversarial weight perturbation the gradient is taken a second time, at weights that
        # the first gradient has moved to raise the loss.
        seen = [self._seen(part) for part in batch.parts(self.micro_batch)]
        losses = self._backward(seen)
        if recipe.awp and progress >= recipe.awp.start:
            with awp.perturbed(self.trainee.trained.values(), recipe.awp.delta):
                losses = self._backward(seen)

        # The averages follow the new weights.
        self._update()
        self._average(step)
        return losses

    def _seen(self, batch: Batch) -> tuple:
        """The arguments for a micro-batch's losses; the guide sees the view of the student."""
        views, target, pairs = self.trainee.views(batch.clips, batch.draw)
        guidance = self.guide(views["student"], pairs, batch.index) if self.guide else None
        progress = torch.full((), batch.draw.progress, device=self.processes.device)
        return views, target, progress, guidance

    def _backward(self, seen: list[tuple]) -> dict[str, Tensor]:
        """Compute the losses and gradients of a batch, as means over its clips."""
        self.optimiser.zero_grad(set_to_none=True)
        n_clips = sum(len(target) for _, target, *_ in seen)
        total: dict[str, Tensor] = {}
        for number, arguments in enumerate(seen):
            share = len(arguments[1]) / n_clips
            with self.processes.exchanging(self.losses_of, number == len(seen) - 1):
                with self.autocast:
                    losses = self.losses_of(*arguments)
                # The models share no weights, so the sum's gradient is that of each model's loss.
                self.scaler.scale(sum(losses.values()) * share).backward()
            for role, loss in losses.items():
                total[role] = total.get(role, 0.0) + loss.detach() * share
        return total

    def _update(self) -> None:
        self.scaler.unscale_(self.optimiser)  # first, because clipping needs true gradients
        if self.recipe.clip_norm:
            for model in self.trainee.trained.values():
                torch.nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _average(self, step: int) -> None:
        recipe, models = self.recipe, self.trainee.models
        if recipe.mean_teacher:
            decay = averaging.young_decay(recipe.mean_teacher.decay, step)
            averaging.follow(models["teacher"], models["student"], decay, buffers=False)
        if recipe.ema:
            decay = averaging.warm_decay(recipe.ema.decay, step)
            averaging.follow(models["ema"], models["student"], decay, buffers=True)

    def _rng(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, epoch))

    def _plan(self, train: ClipSet, epoch: int) -> list[np.ndarray]:
        """The clips of each batch of an epoch, the same in all processes."""
        rng, recipe = self._rng(epoch), self.recipe
        drawn = np.arange(len(train))
        if recipe.steps:
            drawn = rng.integers(0, len(train), recipe.steps * recipe.batch_size)
        length, window = train.length[drawn], recipe.length_window
        return [drawn[batch] for batch in plan(length, recipe.batch_size, rng, window)]

    def batches(self, train: ClipSet, planned: list[np.ndarray], epoch: int) -> Iterator[Batch]:
        """Gather the epoch's batches on the device, each with its randomness."""
        device, rng = self.processes.device, self._rng(epoch)

        # Augmentation and dropout have a seed each, which differs between processes. The host's
        # draws, such as the layer that mixup acts on, must be the same in all processes.
        seeds = np.random.SeedSequence((self.settings.seed, epoch, self.processes.rank))
        own, dropout = (int(seed) for seed in seeds.generate_state(2))
        torch.manual_seed(dropout)
        generator = torch.Generator(device).manual_seed(own)
        host = random.Random(epoch * 1_000_003 + self.settings.seed)

        # The clips' numbers go to the device once, for the whole epoch.
        shares = [self.processes.share(batch) for batch in planned]
        index = self._uploaded(shares)
        if needs_donor := self.recipe.augment.needs_donor:
            # Each model that sees the batch gets donors of its own.
            views = len(self.trainee.seeing)
            donated = [donors(train, np.tile(share, views), rng) for share in shares]
            donor_index = self._uploaded(donated)

        # A batch is padded to its longest clip in any process, so all processes have one shape.
        n_steps = self.recipe.epochs * len(planned)
        for number in range(len(shares)):
            clips = train.gather(index[number], int(train.length[planned[number]].max()))
            donor = None
            if needs_donor:
                longest = int(train.length[donated[number]].max())
                donor = train.gather(donor_index[number], longest)
            progress = (epoch * len(planned) + number) / n_steps
            yield Batch(clips, index[number], Draw(generator, host, progress, donor))

    def _uploaded(self, batches: list[np.ndarray]) -> tuple[Tensor, ...]:
        """Copy the clip numbers of all batches to the device at once."""
        flat = torch.from_numpy(np.concatenate(batches)).to(self.processes.device)
        return flat.split([len(batch) for batch in batches])

    def state_dict(self) -> dict:
        """The state that the next epoch depends on."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict) -> None:
        """Restore the state that `state_dict` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict:
        own = {name: getattr(self, name) for name in ("optimiser", "plateau", "scaler", "soup")}
        return {"models": self.trainee.models} | own


def precision_of(precision: Precision, device: torch.device) -> torch.dtype:
    """The type in which matrix products are computed."""
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in named:
        return named[precision]
    if device.type == "cuda":
        # A T4 or P100 only emulates bfloat16, which is slow; both compute half precision natively.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    of_cpu = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if of_cpu else torch.float32
