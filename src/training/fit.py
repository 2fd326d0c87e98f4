"""Training from start to end: epochs, tests, history, checkpoints.

Everything random comes from (seed, epoch). So a killed training that is continued has the history
of an unbroken one, on the same kind of device; it continues after its last whole epoch.
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

SEEDS_APART = 10_000  # seed 1 in a run of SEED 0 is not seed 0 in a run of SEED 1
PROBED = 2_000  # the most training clips that are tested beside the held-out ones


@dataclass(frozen=True)
class Task:
    """A recipe to train, the clips to train it on, and the folder for the results."""

    recipe: Recipe
    train: ClipSet  # clips to learn from, on the device
    valid: ClipSet | None  # clips to test on; None or empty for a fit on everything
    classes: int  # number of signs, K
    # During the training it gets last.pt and history.csv, at the end a file of weights per role.
    # The caller deletes last.pt once it has saved its own results.
    folder: Path
    guide: Guide | None = None  # a finished training to learn from
    start: dict[str, Tensor] | None = None  # weights to start from, where names and shapes agree
    # Clips that are neither learnt from nor scored. They choose the best epoch, and tell when the
    # rate falls, if the recipe asks for that; None = `valid`.
    choosing: ClipSet | None = None
    # Further values that a checkpoint must agree with; JSON must be able to hold them.
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
        """The values that the training depends on; a checkpoint holds them."""
        columns = (self.train.offset, self.train.length, self.train.label)
        clips = hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()
        values = config.to_json(self.recipe)["values"]
        return {"recipe": values, "clips": DIGEST + clips, **self.depends_on}


@dataclass(frozen=True)
class Trained:
    """The results of a training."""

    networks: dict[Role, nn.Module]  # with the weights of their files; soup and best are included
    # Of held-out clips, after the last epoch; empty if a kill left no epoch to train.
    logits: dict[Role, Float[np.ndarray, "N K"]]


def fit(task: Task, settings: Settings, processes: Processes) -> Trained:
    """Train a recipe's models, or continue where an earlier call was stopped.

    Raises:
        InputError: there is no clip to train on, the checkpoint in the folder is of another recipe,
            micro-batches are too small for the loss, or the training has diverged.
    """
    recipe, folder = task.recipe, task.folder
    if len(task.train) == 0:
        raise InputError(
            f"{folder}: expected clips to learn from, found none; check the folds and HOLD_OUT"
        )
    settings = replace(settings, seed=settings.seed + SEEDS_APART * recipe.seed)

    # The models' first weights depend on the seed alone, so nothing else may draw before them.
    torch.manual_seed(settings.seed)
    trainee = Trainee(recipe, task.classes).to(processes.device)
    _initialise(trainee, task)
    loop = Loop(recipe, trainee, settings, processes, task.guide)
    _check_micro_batch(loop)
    history, best = History(folder / "history.csv"), Best(recipe.stop)
    made_from = task.made_from | {"seed": settings.seed}
    state = resume.State(folder / "last.pt", made_from, loop, best, history)

    # A stopped training continues after its last whole epoch. A stage that starts from another's
    # weights is tested before its first step, because it may never find better ones.
    start = state.load()
    if loop.micro_batch < recipe.batch_size // processes.world and processes.writes:
        why = "as asked for" if settings.micro_batch else "because more do not fit into memory"
        say(f"{recipe.name}: {loop.micro_batch} clips at a time, {why}")
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

        # A test decides which weights are the best so far, and whether the rate has to fall.
        if _is_tested(task, settings, epoch):
            test = partial(_test, trainee, task, (epoch + 1) / recipe.epochs)
            found, logits = processes.from_rank_zero(test)
            record |= found
            if task.chooser:
                best.consider(record, trainee)
                loop.plateau.consider(record["choosing_loss"])

        # One process writes, and all wait for it, so a later kill does not lose this epoch.
        if processes.writes:
            history.add(record)
            state.save(epoch)
            left = (time.monotonic() - started) / (epoch + 1 - start) * (recipe.epochs - epoch - 1)
            so_far = f"epoch {epoch + 1} of {recipe.epochs}, {history.brief()}"
            say(f"{recipe.name}, {folder.name}: {so_far}, {minutes(left)}")
        processes.wait()

    # The logits are of the last epoch that was trained: one that may stop early tests every epoch.
    networks = _networks(loop, best)
    if processes.writes:
        for role, network in networks.items():
            checkpoint.save(folder / f"{role}.pt", network.state_dict())
    return Trained(networks, logits)


def _initialise(trainee: Trainee, task: Task) -> None:
    """Give the models the training clips' statistics, and the weights to start from.

    Those weights come with the statistics of the clips that they have learnt from.
    """
    for model in trainee.models.values():
        if hasattr(model, "learn_statistics"):
            model.learn_statistics(task.train.real_frames())
        if task.start is not None:
            own = model.state_dict()
            fitting = {k: v for k, v in task.start.items() if k in own and own[k].shape == v.shape}
            model.load_state_dict(own | fitting)


def _check_micro_batch(loop: Loop) -> None:
    """Refuse micro-batches that were asked for and switch OUSM off.

    Only say so if the batch itself is too small, or the memory.
    """
    loss, asked = loop.recipe.loss, loop.settings.micro_batch
    share = loop.recipe.batch_size // loop.processes.world
    part = share // math.ceil(share / loop.micro_batch) if share else 0  # the smallest part
    if not isinstance(loss, CrossEntropy) or not 0 < loss.drop * part < loss.drop_per:
        return
    least = math.ceil(loss.drop_per / loss.drop)
    why = f"{loop.recipe.name} leaves {loss.drop} of every {loss.drop_per} out of its loss (OUSM)"
    if asked and share >= least:
        raise InputError(
            f"MICRO_BATCH: expected parts of at least {least} clips, because {why}, found {asked}, "
            f"which makes parts of {part}; choose another size, or set --loss.drop 0"
        )
    if loop.processes.writes:
        say(f"{why}, but here it takes only {part} clips at once, too few for that: all count")


def _check_finite(loop: Loop, record: Record, where: str) -> None:
    """Refuse to go on with losses, weights or statistics that are NaN or infinite."""
    found = {
        f"{role}'s {name}": values
        for role, model in loop.trainee.models.items()
        for name, values in model.state_dict().items()
    }
    # Lion's step is only a sign, which hides a NaN in the loss. fp16 skips a step whose loss has
    # overflowed, and halves its scale, which starts at 2^16; without fp16 the scale is 1.
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
    n_epochs, n_tests = task.recipe.epochs, max(1, settings.tests)
    if task.chooser:
        return True
    return (epoch + 1) * n_tests // n_epochs > epoch * n_tests // n_epochs  # the last one always


def _test(
    trainee: Trainee, task: Task, progress: float
) -> tuple[dict[str, float], dict[Role, Float[np.ndarray, "N K"]]]:
    """Test every model on the held-out clips, and on as many training clips, up to `PROBED`.

    Both are tested without augmentation or dropout, so the results can be compared. Returns
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
    if loop.recipe.soup_epochs and loop.soup.n_averaged:  # 0 if it stopped before those epochs
        networks["soup"] = loop.soup.module
    if loop.recipe.stop:
        networks["best"] = copy.deepcopy(loop.trainee.leader)
        if best.weights:  # empty if there was nothing to test on
            networks["best"].load_state_dict(best.weights)
    return networks
