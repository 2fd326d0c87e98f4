"""The finished trainings that a recipe learns from, or whose weights it starts from.

Calling a teacher gives its probabilities, at the recipe's temperature, for the clips of a batch.
"""

from collections.abc import Sequence
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
from src.dataset.folds import EVERYTHING, Fold
from src.evaluation.ensemble import Vote, Votes, rule_for, votes_for
from src.evaluation.predict import predict
from src.recipes.base import Recipe
from src.runs import Run
from src.training.roles import View
from src.transforms.mix import Pairs


class LiveTeacher:
    """A teacher that reads the student's inputs: it answers for the student's augmented batch."""

    def __init__(self, model: nn.Module, temperature: float):
        self.model, self.temperature = model.eval().requires_grad_(False), temperature

    @torch.no_grad()
    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """Answer for the student's view, mixed before the same layer, or the last if fewer."""
        if view.mix is not None:
            layer = view.mix.layer.clamp(max=len(self.model.layers) - 1)
            view = replace(view, mix=replace(view.mix, layer=layer))
        logits = self.model(*view.inputs)["logits"].float()
        return (logits / self.temperature).softmax(-1)


class CachedTeacher:
    """A teacher that reads other inputs: it has answered once, for clips without augmentation."""

    def __init__(self, logits: Float[Tensor, "clips K"], temperature: float):
        self.probabilities = (logits / temperature).softmax(-1)

    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """Look up the answers; mixed clips get mixed answers."""
        probabilities = self.probabilities[index]
        return probabilities if pairs is None else pairs.target(probabilities)


class Ensemble:
    """Several teachers that answer with the weighted mean of their probabilities."""

    def __init__(self, teachers: Sequence[LiveTeacher | CachedTeacher], weights: Sequence[float]):
        self.teachers = teachers
        self.shares = [weight / sum(weights) for weight in weights]

    def __call__(
        self, view: View, pairs: Pairs | None, index: Int[Tensor, " B"]
    ) -> Float[Tensor, "B K"]:
        """Ask all of them about the same clips."""
        answers = (teacher(view, pairs, index) for teacher in self.teachers)
        return sum(s * answer for s, answer in zip(self.shares, answers, strict=True))


Guide = LiveTeacher | CachedTeacher | Ensemble


def find(
    run: Run, recipe: Recipe, fold: Fold, train_index: np.ndarray, device: torch.device
) -> Guide | None:
    """The teachers that `recipe.distil` names, trained on the same fold.

    `train_index` holds the numbers of the store's clips that are learnt from.

    Raises:
        InputError: there is no such training, or it was trained on other signs.
    """
    found, weights = [], []
    for of, name, vote in _named(run, recipe, fold):
        teacher, model = of.recipe(name), of.model(name, fold).to(device)
        temperature = recipe.distil.temperature * vote.temperature
        reads = [(r.layout, r.clip, r.features) for r in (recipe, teacher)]
        if reads[0] == reads[1]:
            found.append(LiveTeacher(model, temperature))
        else:
            clips = prepare(run.store, teacher.read, teacher.key, device).subset(train_index)
            logits = torch.from_numpy(predict(model, teacher, clips)).to(device)
            found.append(CachedTeacher(logits, temperature))
        weights.append(vote.weight)
    return Ensemble(found, weights) if len(found) > 1 else next(iter(found), None)


def _named(run: Run, recipe: Recipe, fold: Fold) -> list[tuple[Run, str, Vote]]:
    """The trainings that `recipe.distil.teacher` names, each with its vote.

    All count the same, except the members of a run, which count as in the run's ensemble.
    """
    learns = f"{recipe.name} learns from it (distil.teacher)"
    votes: Votes = {}
    for teacher in recipe.distil.teachers:
        if teacher not in run.recipes and (anchored(teacher) / "run.json").is_file():
            tables = Run.open(anchored(teacher)).shipped_predictions()
            members = votes_for(tables, fold, rule_for(tables)).items()
            votes |= {f"{teacher}/{name}": vote for name, vote in members if vote.weight > 0}
        else:
            votes[teacher] = Vote(1.0)
    named = [
        (*_trained(run, teacher, fold, "distil.teacher", learns), vote)
        for teacher, vote in votes.items()
    ]
    for of, _, _ in named:
        if of.store.signs != run.store.signs:
            raise InputError(
                f"{of.folder}: {learns}, expected the signs of {run.about.data}, found other "
                "signs; choose a teacher of the same signs"
            )
    return named


def weights_to_start_from(run: Run, recipe: Recipe, fold: Fold) -> dict[str, Tensor] | None:
    """The weights of the training that `recipe.start` names, on the same fold.

    Raises:
        InputError: there is no such training, or none of its weight matrices fits.
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
            f"{path}: {starts}, expected weight matrices that fit {recipe.model} by name and "
            "shape, found none; choose a recipe with a network of the same kind and widths"
        )
    return weights


def _trained(run: Run, teacher: str, fold: Fold, field: str, why: str) -> tuple[Run, str]:
    """The run and the recipe that a name or path stands for, once trained on the fold."""
    path = anchored(teacher)
    if teacher in run.recipes:
        of, name = run, teacher
    elif len(Path(teacher).parts) > 1 and (path / "config.json").is_file():
        of, name = Run.open(path.parent), path.name
    else:
        raise InputError(
            f"{field}: no recipe {teacher!r} in {run.folder}, and no folder of that name with a "
            f"config.json; this run has {', '.join(run.recipes)}. Name it in RECIPES too, or give "
            "the path logs/<run>/<recipe> of one that is trained, or logs/<run> for all of a run"
        )
    if not of.training_mark(name, fold).is_finished:
        raise InputError(
            f"{of.training_folder(name, fold)}: {why}, expected a finished training of {name} on "
            "this fold, found none; train it first"
        )
    _check_unseen(run, of, fold, why)
    return of, name


def _check_unseen(run: Run, of: Run, fold: Fold, why: str) -> None:
    """Refuse another run that has learnt clips of this fold: its answers for them would leak."""
    if of is run or fold == EVERYTHING:
        return
    clip = ["participant", "sequence", "sign"]
    held_out, learnt = run.clips[run.clips.fold == fold], of.clips[of.clips.fold != fold]
    seen = held_out[clip].merge(learnt[clip])
    if len(seen):
        raise InputError(
            f"{of.folder}: {why}, expected a run that has not learnt clips of {run.folder}'s "
            f"held-out signers, found {len(seen)} such clips, of "
            f"{', '.join(sorted(set(seen.participant)))}; hold the same signers out there"
        )
