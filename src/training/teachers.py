"""The finished trainings that a recipe learns from, or whose weights it starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.common import checkpoint
from src.common.errors import InputError
from src.common.paths import anchored
from src.dataset.batches import prepare
from src.dataset.folds import Fold
from src.evaluation.predict import predict
from src.recipes.base import Recipe
from src.runs import Run
from src.training.guide import CachedTeacher, Guide, LiveTeacher


def find(
    run: Run, recipe: Recipe, fold: Fold, train_index: np.ndarray, device: torch.device
) -> Guide | None:
    """The teacher that `recipe.distil` names, trained on the same fold.

    Args:
        run: the run that is training.
        recipe: the recipe that learns.
        fold: the fold that is held out.
        train_index: the store's clips that are learnt from.
        device: where.

    Raises:
        InputError: there is no such training, or it knows other signs.
    """
    distil = recipe.distil
    if not distil.teacher:
        return None
    of, name = _located(run, distil.teacher, "distil.teacher")
    if not of.training_mark(name, fold).is_finished:
        raise InputError(
            f"{of.training_folder(name, fold)}: {recipe.name} learns from it (distil.teacher), "
            f"expected a finished training of {name} on this fold, found none; train it first"
        )
    if of.store.signs != run.store.signs:
        raise InputError(
            f"{of.folder}: {recipe.name} learns from it (distil.teacher), expected the signs of "
            f"{run.about.data}, found other signs; choose a teacher of the same signs"
        )
    teacher, model = of.recipe(name), of.model(name, fold).to(device)
    reads = [(r.layout, r.clip, r.features) for r in (recipe, teacher)]
    if reads[0] == reads[1]:
        return LiveTeacher(model, distil.temperature)
    clips = prepare(run.store, teacher.read, teacher.key, device).subset(train_index)
    logits = torch.from_numpy(predict(model, teacher, clips)).to(device)
    return CachedTeacher(logits, distil.temperature)


def weights_to_start_from(run: Run, recipe: Recipe, fold: int) -> dict[str, Tensor] | None:
    """The weights that `recipe.start` names, of the same fold.

    Raises:
        InputError: there is no such training, or not one of its weight matrices fits.
    """
    if not recipe.start:
        return None
    of, name = _located(run, recipe.start, "start")
    if not of.training_mark(name, fold).is_finished:
        raise InputError(
            f"{of.training_folder(name, fold)}: {recipe.name} starts from it, expected a finished "
            f"training of {name} on this fold, found none; train it first"
        )
    path = of.training_folder(name, fold) / f"{of.recipe(name).shipped}.pt"
    weights = checkpoint.load(path)
    with torch.device("meta"):
        own = recipe.model.build(recipe.layout, len(run.store.signs)).state_dict()
    matrices = [key for key, value in own.items() if value.dim() > 1 and "classifier" not in key]
    if not any(key in weights and weights[key].shape == own[key].shape for key in matrices):
        raise InputError(
            f"{path}: {recipe.name} starts from it, found no weight matrix of the names and "
            f"shapes of {recipe.model}; choose a recipe with a network of the same kind and widths"
        )
    return weights


def _located(run: Run, teacher: str, field: str) -> tuple[Run, str]:
    """The run and the recipe that a name, or a path, stands for."""
    if teacher in run.recipes:
        return run, teacher
    path = anchored(teacher)
    if len(Path(teacher).parts) > 1 and (path / "config.json").is_file():
        return Run.open(path.parent), path.name
    raise InputError(
        f"{field}: no recipe {teacher!r} in {run.folder}, and no folder of that name with a "
        f"config.json; this run has {', '.join(run.recipes)}. Name it in RECIPES too, or give the "
        "path logs/<run>/<recipe> of one that is trained"
    )
