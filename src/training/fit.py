"""Training from start to end: epochs, tests, history, checkpoints.

Everything random comes from (seed, epoch), so a run that goes on after a kill has the history of an
unbroken one; it goes on after its last whole epoch.
"""

import copy
import hashlib
import math
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.common import checkpoint
from src.common.errors import InputError
from src.common.marks import DIGEST
from src.common.news import minutes, say
from src.dataset.batches import ClipSet
from src.evaluation.predict import examine
from src.losses import CrossEntropy
from src.recipes import config
from src.recipes.base import Recipe
from src.recipes.ingredients import Role
from src.training import resume
from src.training.distributed import Processes
from src.training.history import Best, History, Record
from src.training.loop import Loop, Settings
from src.training.roles import Trainee
from src.training.teachers import Guide

SEEDS_APART = 10_000  # recipes that differ by seed alone never meet in the seeds of two runs
PROBED = 2_000  # training clips, at most, that are tested beside the held-out ones


@dataclass(frozen=True)
class Task:
    """What is trained on what, and where it is kept."""

    recipe: Recipe
    train: ClipSet  # clips to learn from, on the device
    valid: ClipSet | None  # clips to test on; None or empty for a fit on everything
    classes: int  # number of signs, K
    # Gets last.pt and history.csv on the way, one file of weights per role at the end; last.pt
    # stays until the caller has kept all that it wants of the training.
    folder: Path
    guide: Guide | None = None  # a finished training to learn from
    start: dict[str, Tensor] | None = None  # weights to start from, where names and shapes agree
    # Clips, neither learnt from nor scored, on which the best epoch is chosen and the rate falls,
    # where the recipe says so; None = `valid`.
    choosing: ClipSet | None = None
    # What else a checkpoint has to agree with, as values that JSON can hold.
    depends_on: dict = field(default_factory=dict)

    @property
    def has_tests(self) -> bool:
        """True if there are clips to test on."""
        return self.valid is not None and len(self.valid) > 0

    @property
    def chooser(self) -> ClipSet | None:
        """The clips on which the best epoch is chosen; None if there is nothing to choose."""
        if not self.recipe.needs_choosing_clips:
            return None
        return self.choosing or (self.valid if self.has_tests else None)

    @property
    def made_from(self) -> dict:
        """What the training depends on, as a checkpoint keeps it."""
        columns = (self.train.offset, self.train.length, self.train.label)
        clips = hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()
        values = config.to_json(self.recipe)["values"]
        return {"recipe": values, "clips": DIGEST + clips, **self.depends_on}


@dataclass(frozen=True)
class Trained:
    """What a training leaves."""

    networks: dict[Role, nn.Module]  # as their files hold them; soup and best weights, too
    logits: dict[Role, Float[np.ndarray, "N K"]]  # of held-out clips, by what was tested at the end


def fit(task: Task, settings: Settings, processes: Processes) -> Trained:
    """Train a recipe's models, or go on where an earlier call was stopped.

    Raises:
        InputError: there is no clip, the folder's checkpoint is of another recipe, micro-batches
            are too small for the loss, or the training has diverged.
    """
    recipe, folder = task.recipe, task.folder
    if len(task.train) == 0:
        raise InputError(f"{folder}: no clip to train on; check the folds and HOLD_OUT")
    settings = replace(settings, seed=settings.seed + SEEDS_APART * recipe.seed)

    # The models are initialised by the seed alone, before anything else draws from it.
    torch.manual_seed(settings.seed)
    trainee = Trainee(recipe, task.classes).to(processes.device)
    _initialise(trainee, task)
    loop = Loop(recipe, trainee, settings, processes, task.guide)
    _check_micro_batch(loop)
    history, best = History(folder / "history.csv"), Best(recipe.stop)
    if loop.micro_batch < recipe.batch_size // processes.world and processes.writes:
        why = "as asked for" if settings.micro_batch else "for more do not fit into memory"
        say(f"{recipe.name}: {loop.micro_batch} clips at a time, {why}")
    made_from = task.made_from | {"seed": settings.seed}
    state = resume.State(folder / "last.pt", made_from, loop, best, history)

    # A stopped training goes on after its last whole epoch. A stage that starts from another's
    # weights is tested before its first step: it may never find better ones.
    start = state.load()
    if start == 0 and recipe.stop and task.start is not None and task.chooser:
        record, _ = processes.from_rank_zero(partial(_test, trainee, task, 0.0))
        best.consider(record, trainee)

    logits = {}
    started = time.monotonic()
    for epoch in range(start, recipe.epochs):
        if best.exhausted:
            break
        record = loop.epoch(task.train, epoch)
        _check_finite(loop, record, f"{folder}, epoch {epoch + 1}")

        # The soup is the mean over the last epochs.
        if epoch >= recipe.epochs - recipe.soup_epochs:
            loop.soup.update_parameters(trainee.leader)

        # A test decides what is kept as the best, and whether the rate has to fall.
        if _is_tested(task, settings, epoch):
            test = partial(_test, trainee, task, (epoch + 1) / recipe.epochs)
            found, logits = processes.from_rank_zero(test)
            record |= found
            if task.chooser:
                best.consider(record, trainee)
                loop.plateau.consider(record["choosing_loss"])

        # One process writes, and all wait for it: a kill after this line costs nothing.
        if processes.writes:
            history.add(record)
            state.save(epoch)
            left = (time.monotonic() - started) / (epoch + 1 - start) * (recipe.epochs - epoch - 1)
            so_far = f"epoch {epoch + 1} of {recipe.epochs}, {history.brief()}"
            say(f"{recipe.name}, {folder.name}: {so_far}, {minutes(left)}")
        processes.wait()

    # A training that stopped early was tested after its last epoch, too.
    networks = _networks(loop, best)
    if processes.writes:
        for role, network in networks.items():
            checkpoint.save(folder / f"{role}.pt", network.state_dict())
    return Trained(networks, logits)


def _initialise(trainee: Trainee, task: Task) -> None:
    """What the models know before the first step: train-set statistics, another's weights."""
    for model in trainee.models.values():
        if hasattr(model, "learn_statistics"):
            model.learn_statistics(task.train.real_frames())
        if task.start is not None:
            own = model.state_dict()
            fitting = {k: v for k, v in task.start.items() if k in own and own[k].shape == v.shape}
            model.load_state_dict(own | fitting)


def _check_micro_batch(loop: Loop) -> None:
    """Refuse a size that switches OUSM off; say so where the batch itself is too small for it."""
    loss, asked = loop.recipe.loss, loop.settings.micro_batch
    share = loop.recipe.batch_size // loop.processes.world
    part = share // math.ceil(share / loop.micro_batch) if share else 0  # the smallest part
    if not isinstance(loss, CrossEntropy) or not 0 < loss.drop * part < loss.drop_per:
        return
    least = math.ceil(loss.drop_per / loss.drop)
    why = f"{loop.recipe.name} leaves {loss.drop} of every {loss.drop_per} out of its loss (OUSM)"
    if asked and share >= least:
        raise InputError(
            f"MICRO_BATCH: expected parts of at least {least} clips, for {why}, found {asked}, "
            f"which makes parts of {part}; choose another size, or set --loss.drop 0"
        )
    if loop.processes.writes:
        say(f"{why}, but none of {part}, which is what it takes at once here: all clips count")


def _check_finite(loop: Loop, record: Record, where: str) -> None:
    """Refuse to go on with losses, weights or statistics that are NaN or infinite."""
    found = {
        f"{role}'s {name}": values
        for role, model in loop.trainee.models.items()
        for name, values in model.state_dict().items()
    }
    # Lion's step is a sign, and hides a NaN. fp16 takes no step where its loss has overflowed, and
    # halves its scale, from 2^16 on; without fp16 that is 1.
    if loop.scaler.get_scale() <= 1:
        losses = {f"{role}'s loss": record[f"{role}_loss"] for role in loop.trainee.trained}
        found |= {name: torch.tensor(loss) for name, loss in losses.items()}
    for name, values in found.items():
        if not values.isfinite().all():
            raise InputError(
                f"{where}: expected finite numbers in the {name}, found others: the training has "
                f"diverged; lower its rate, now --optimiser.lr {loop.recipe.optimiser.lr:g}, or "
                "train with PRECISION=fp32"
            )


def _is_tested(task: Task, settings: Settings, epoch: int) -> bool:
    if not (task.has_tests or task.chooser):
        return False
    spacing = 1 if task.chooser else max(1, task.recipe.epochs // max(1, settings.tests))
    return epoch + 1 == task.recipe.epochs or (epoch + 1) % spacing == 0


def _test(
    trainee: Trainee, task: Task, progress: float
) -> tuple[dict[str, float], dict[Role, Float[np.ndarray, "N K"]]]:
    """Test every model on the held-out clips, and on as many training clips, up to `PROBED`.

    All as they are, without augmentation or dropout, so that they can be compared. Returns
    accuracies and losses for the history, and the logits of the held-out clips.
    """
    record, logits = {}, {}
    if task.chooser:
        found = examine(trainee.leader, trainee.recipe, task.chooser, progress)
        record |= {"choosing_accuracy": found.accuracy, "choosing_loss": found.loss}
    if not task.has_tests:
        return record, logits
    n, n_probed = len(task.train), min(len(task.train), len(task.valid), PROBED)
    probe = task.train.subset(np.linspace(0, n - 1, n_probed).round().astype(np.int64))
    for role, model in trainee.models.items():
        tested = examine(model, trainee.recipe, task.valid, progress)
        probed = examine(model, trainee.recipe, probe, progress)
        record |= {f"{role}_accuracy": tested.accuracy, f"{role}_test_loss": tested.loss}
        record |= {f"{role}_train_accuracy": probed.accuracy, f"{role}_train_loss": probed.loss}
        logits[role] = tested.logits
    return record, logits


def _networks(loop: Loop, best: Best) -> dict[Role, nn.Module]:
    networks = dict(loop.trainee.models.items())
    if loop.recipe.soup_epochs and loop.soup.n_averaged:  # none, if it stopped before the last ones
        networks["soup"] = loop.soup.module
    if loop.recipe.stop:
        networks["best"] = copy.deepcopy(loop.trainee.leader)
        if best.weights:  # none, if there was nothing to test on
            networks["best"].load_state_dict(best.weights)
    return networks
