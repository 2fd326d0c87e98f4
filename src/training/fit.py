"""Training from start to end: epochs, tests, history, checkpoints.

Everything random comes from (seed, epoch), so a run that goes on after a kill has the history of an
unbroken one; it goes on after its last whole epoch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from src import checkpoint, evaluation
from src.dataset.batches import ClipSet
from src.errors import InputError
from src.models.blocks import LearnsStatistics
from src.recipes.base import Recipe
from src.recipes.config import digest
from src.recipes.ingredients import OnPlateau
from src.training import resume
from src.training.distributed import Processes
from src.training.guide import Guide
from src.training.history import History
from src.training.loop import Loop, Settings
from src.training.roles import Trainee

_PARTS = {"recipe", "clips", "epoch", "loop", "best", "history"}  # of last.pt
SEEDS_APART = 10_000  # members that differ by seed alone never meet in the seeds of two runs


@dataclass(frozen=True)
class Task:
    """What is trained on what, and where it is kept.

    Args:
        recipe: what to train.
        train: clips to learn from, on the device.
        valid: clips to test on; None or empty for a fit on everything.
        classes: K.
        folder: gets last.pt and history.csv on the way, one file of weights per role at the end;
            last.pt stays until the caller has kept all that it wants of the training.
        guide: a finished training to learn from.
        start: weights to start from, where names and shapes agree.
    """

    recipe: Recipe
    train: ClipSet
    valid: ClipSet | None
    classes: int
    folder: Path
    guide: Guide | None = None
    start: dict[str, Tensor] | None = None


def fit(task: Task, settings: Settings, processes: Processes) -> Trainee:
    """Train a recipe's models, or go on where an earlier call was stopped.

    Returns:
        The trained models, as they are after the last epoch.

    Raises:
        InputError: there is no clip, or the folder's checkpoint is of another recipe.
    """
    recipe, folder = task.recipe, task.folder
    if len(task.train) == 0:
        raise InputError(f"{folder}: no clip to train on; check the folds and HOLD_OUT")
    settings = replace(settings, seed=settings.seed + SEEDS_APART * recipe.seed)
    torch.manual_seed(settings.seed)
    trainee = Trainee(recipe, task.classes).to(processes.device)
    _initialise(trainee, task)
    loop = Loop(recipe, trainee, settings, processes, task.guide)
    history, best = History(folder / "history.csv"), Best(recipe)
    start = _resume(loop, history, best, task)
    if start == 0 and recipe.stop and task.start is not None and _has_tests(task):
        best.consider(processes.told(partial(_tested, trainee, task, 0.0)), trainee)
    bar = tqdm(range(start, recipe.epochs), initial=start, total=recipe.epochs, desc=recipe.name)
    for epoch in bar:
        if best.exhausted:
            break
        record = loop.epoch(task.train, epoch)
        if epoch >= recipe.epochs - recipe.soup_epochs:
            loop.soup.add(trainee.leader)
        if _is_tested(task, settings, epoch):
            record |= processes.told(partial(_tested, trainee, task, (epoch + 1) / recipe.epochs))
            best.consider(record, trainee)
            loop.plateau.consider(record[f"{trainee.leading}_test_loss"])
        if processes.writes:
            history.add(record)
            bar.set_postfix(history.brief(), refresh=False)
            _save(loop, history, best, task, epoch)
        processes.wait()
    if processes.writes:
        _save_weights(loop, best, folder)
    return trainee


class Best:
    """The weights with the best accuracy so far, and how long they have been the best.

    Args:
        recipe: says whether to keep them, and when to stop.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.accuracy, self.tests_since = -1.0, 0
        self.weights: dict[str, Tensor] = {}

    def consider(self, record: dict[str, float | int], trainee: Trainee) -> None:
        """Keep the leader's weights if this epoch's accuracy is the best."""
        if self.recipe.stop is None:
            return
        accuracy = record[f"{trainee.leading}_accuracy"]
        self.tests_since += 1
        if accuracy > self.accuracy:
            self.accuracy, self.tests_since = accuracy, 0
            state = trainee.leader.state_dict()
            self.weights = {name: value.clone() for name, value in state.items()}

    @property
    def exhausted(self) -> bool:
        """True when the recipe says to stop."""
        return self.recipe.stop is not None and self.tests_since >= self.recipe.stop.patience

    def state_dict(self) -> dict:
        """What `load_state_dict` needs to go on."""
        return {
            "accuracy": self.accuracy, "tests_since": self.tests_since, "weights": self.weights
        }  # fmt: skip

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken."""
        self.accuracy, self.tests_since = state["accuracy"], state["tests_since"]
        self.weights = state["weights"]


def _initialise(trainee: Trainee, task: Task) -> None:
    """What the models know before the first step: train-set statistics, another's weights."""
    for model in trainee.models.values():
        if isinstance(model, LearnsStatistics):
            model.learn_statistics(task.train.real_frames())
        if task.start is not None:
            own = model.state_dict()
            fitting = {k: v for k, v in task.start.items() if k in own and own[k].shape == v.shape}
            model.load_state_dict(own | fitting)


def _has_tests(task: Task) -> bool:
    return task.valid is not None and len(task.valid) > 0


def _is_tested(task: Task, settings: Settings, epoch: int) -> bool:
    if not _has_tests(task):
        return False
    every = task.recipe.stop or isinstance(task.recipe.schedule, OnPlateau)
    spacing = 1 if every else max(1, task.recipe.epochs // settings.validations)
    return epoch + 1 == task.recipe.epochs or (epoch + 1) % spacing == 0


def _tested(trainee: Trainee, task: Task, progress: float) -> dict[str, float]:
    """Accuracy and loss of every model on the held-out clips, and on as many training clips.

    Both kinds as they are, without augmentation or dropout, so that they can be compared.
    """
    n, n_probed = len(task.train), min(len(task.train), len(task.valid))
    probe = task.train.subset(np.linspace(0, n - 1, n_probed).round().astype(np.int64))
    record = {}
    for role, model in trainee.models.items():
        accuracy, loss = evaluation.examine(model, trainee.recipe, task.valid, progress)
        record |= {f"{role}_accuracy": accuracy, f"{role}_test_loss": loss}
        accuracy, loss = evaluation.examine(model, trainee.recipe, probe, progress)
        record |= {f"{role}_train_accuracy": accuracy, f"{role}_train_loss": loss}
    return record


def _clips(task: Task) -> str:
    """Which clips are learnt from: what was held out must stay so when a training goes on."""
    columns = (task.train.offset, task.train.length, task.train.label)
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()[:16]


def _resume(loop: Loop, history: History, best: Best, task: Task) -> int:
    """Load last.pt if there is one; returns the first epoch to train."""
    path = task.folder / "last.pt"
    if not path.is_file():
        return 0
    state = checkpoint.load(path, loop.processes.device)
    if set(state) != _PARTS:
        raise InputError(
            f"{path}: expected a training's state of {', '.join(sorted(_PARTS))}, found "
            f"{', '.join(sorted(map(str, state))) or 'nothing'}; {resume.DELETE}"
        )
    if state["recipe"] != digest(loop.recipe):
        raise InputError(
            f"{path}: expected a checkpoint of this very recipe, found one of another recipe or "
            "of other values; choose another run folder, or delete this one"
        )
    if state["clips"] != _clips(task):
        raise InputError(
            f"{path}: expected a checkpoint of a training on the clips of these folds, found one "
            "on others; choose another run folder, or delete this one"
        )
    with resume.refusing_foreign(path):
        _check(state, loop, best)
        loop.load_state_dict(state["loop"])
        resume.check_optimiser(loop.optimiser, loop.recipe.optimiser)
        best.load_state_dict(state["best"])
        history.load(state["history"])
    if loop.processes.writes:
        history.write()  # a kill may have come between the checkpoint and the table
    return len(history.records)


def _check(state: dict, loop: Loop, best: Best) -> None:
    """Compare a state with what this training would save."""
    resume.compare(state["loop"], loop.state_dict(), "loop")
    resume.compare(state["best"], best.state_dict(), "best")
    resume.compare_records(state["history"], state["epoch"])
    for weights in (state["best"]["weights"], state["loop"]["soup"]["mean"]):
        if weights:  # from the first test, and from the first epoch of the soup
            resume.compare(weights, loop.trainee.leader.state_dict(), "mean or best weights")


def _save(loop: Loop, history: History, best: Best, task: Task, epoch: int) -> None:
    state = {
        "recipe": digest(loop.recipe),
        "clips": _clips(task),
        "epoch": epoch,
        "loop": loop.state_dict(),
        "best": best.state_dict(),
        "history": history.records,
    }
    checkpoint.save(task.folder / "last.pt", state)
    history.write()


def _save_weights(loop: Loop, best: Best, folder: Path) -> None:
    weights = {role: model.state_dict() for role, model in loop.trainee.models.items()}
    if loop.recipe.soup_epochs:
        weights["soup"] = loop.soup.mean
    if loop.recipe.stop:
        weights["best"] = best.weights or loop.trainee.leader.state_dict()
    for role, state in weights.items():
        checkpoint.save(folder / f"{role}.pt", state)
