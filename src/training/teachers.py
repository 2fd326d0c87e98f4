"""The finished trainings that a recipe learns from, or whose weights it starts from.

Calling a teacher gives its probabilities, at the recipe's temperature, for the clips of a batch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from src.common import checkpoint
from src.common.errors import InputError
from src.common.paths import anchored
from src.dataset.batches import prepare
from src.dataset.folds import Fold
from src.evaluation.predict import predict
from src.recipes.base import Recipe
from src.runs import Run
from src.training.roles import View
from src.transforms.mix import Pairs


class LiveTeacher:
    """A teacher of the same inputs as the student: it answers to the student's augmented batch."""

    def __init__(self, model: nn.Module, temperature: float):
        self.model, self.temperature = model.eval().requires_grad_(False), temperature

    @torch.no_grad()
    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """Answer to what the student sees, mixed before the same layer, or before its own last."""
        mixing = []  # a network without manifold mixup need not know of it
        if view.mix is not None:
            deepest = len(self.model.layers) - 1
            mixing = [replace(view.mix, layer=view.mix.layer.clamp(max=deepest))]
        logits = self.model(view.features, view.mask, *mixing)["logits"].float()
        return (logits / self.temperature).softmax(-1)


class CachedTeacher:
    """A teacher of other inputs: its answers to the clips without augmentation, computed once."""

    def __init__(self, logits: Float[Tensor, "clips K"], temperature: float):
        self.probabilities = (logits / temperature).softmax(-1)

    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """Look the answers up; mixed clips get mixed answers."""
        probabilities = self.probabilities[index]
        return probabilities if pairs is None else pairs.target(probabilities)


Guide = LiveTeacher | CachedTeacher


def find(
    run: Run, recipe: Recipe, fold: Fold, train_index: np.ndarray, device: torch.device
) -> Guide | None:
    """The teacher that `recipe.distil` names, trained on the same fold.

    `train_index` are the store's clips that are learnt from.

    Raises:
        InputError: there is no such training, or it knows other signs.
    """
    distil = recipe.distil
    if not distil.teacher:
        return None
    learns = f"{recipe.name} learns from it (distil.teacher)"
    of, name = _trained(run, distil.teacher, fold, "distil.teacher", learns)
    if of.store.signs != run.store.signs:
        raise InputError(
            f"{of.folder}: {learns}, expected the signs of {run.about.data}, found other signs; "
            "choose a teacher of the same signs"
        )
    teacher, model = of.recipe(name), of.model(name, fold).to(device)
    reads = [(r.layout, r.clip, r.features) for r in (recipe, teacher)]
    if reads[0] == reads[1]:
        return LiveTeacher(model, distil.temperature)
    clips = prepare(run.store, teacher.read, teacher.key, device).subset(train_index)
    logits = torch.from_numpy(predict(model, teacher, clips)).to(device)
    return CachedTeacher(logits, distil.temperature)


def weights_to_start_from(run: Run, recipe: Recipe, fold: Fold) -> dict[str, Tensor] | None:
    """The weights that `recipe.start` names, of the same fold.

    Raises:
        InputError: there is no such training, or not one of its weight matrices fits.
    """
    if not recipe.start:
        return None
    starts = f"{recipe.name} starts from it"
    of, name = _trained(run, recipe.start, fold, "start", starts)
    path = of.training_folder(name, fold) / f"{of.recipe(name).shipped}.pt"
    weights = checkpoint.load(path)
    with torch.device("meta"):
        own = recipe.model.build(recipe.layout, len(run.store.signs)).state_dict()
    matrices = [key for key, value in own.items() if value.dim() > 1 and "classifier" not in key]
    if not any(key in weights and weights[key].shape == own[key].shape for key in matrices):
        raise InputError(
            f"{path}: {starts}, found no weight matrix of the names and shapes of {recipe.model}; "
            "choose a recipe with a network of the same kind and widths"
        )
    return weights


def _trained(run: Run, teacher: str, fold: Fold, field: str, why: str) -> tuple[Run, str]:
    """The run and the recipe that a name, or a path, stands for; it is trained on the fold."""
    path = anchored(teacher)
    if teacher in run.recipes:
        of, name = run, teacher
    elif len(Path(teacher).parts) > 1 and (path / "config.json").is_file():
        of, name = Run.open(path.parent), path.name
    else:
        raise InputError(
            f"{field}: no recipe {teacher!r} in {run.folder}, and no folder of that name with a "
            f"config.json; this run has {', '.join(run.recipes)}. Name it in RECIPES too, or give "
            "the path logs/<run>/<recipe> of one that is trained"
        )
    if not of.training_mark(name, fold).is_finished:
        raise InputError(
            f"{of.training_folder(name, fold)}: {why}, expected a finished training of {name} on "
            "this fold, found none; train it first"
        )
    return of, name
