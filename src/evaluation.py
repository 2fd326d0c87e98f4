"""What models say about clips they were not trained on: predictions and the tables made of them.

Letters: **N** clips, **K** signs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import scipy.special
import torch
from jaxtyping import Float
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn
from torch.nn import functional as F

from src.dataset.batches import ClipSet, plan
from src.errors import InputError
from src.recipes.base import Recipe

BATCH = 64  # clips; without gradients memory is no concern


def outputs(
    model: nn.Module, recipe: Recipe, clips: ClipSet
) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    """What the model returns for every clip, a batch at a time, in evaluation mode.

    The model's mode is left as it was.

    Yields:
        Which clips, and the model's answers to them.
    """
    was_training = model.training
    model.eval()
    for index in plan(clips.length, BATCH, rng=None):
        on_device = torch.from_numpy(index).to(clips.frames.device)
        batch = clips.gather(on_device, int(clips.length[index].max()))
        features = recipe.features(batch.xyz, batch.mask, recipe.layout)
        with torch.no_grad():  # and not around the loop: a generator would hand it to its caller
            answers = model(features, batch.mask)
        yield index, answers
    model.train(was_training)


def predict(model: nn.Module, recipe: Recipe, clips: ClipSet) -> Float[np.ndarray, "N K"]:
    """Logits for every clip, float32, in the clips' order."""
    pieces, order = [], []
    for index, out in outputs(model, recipe, clips):
        pieces.append(out["logits"].float().cpu().numpy())
        order.append(index)
    logits = np.concatenate(pieces)
    logits[np.concatenate(order)] = logits.copy()
    return logits


def examine(
    model: nn.Module, recipe: Recipe, clips: ClipSet, progress: float
) -> tuple[float, float]:
    """Accuracy, and the recipe's loss, on clips as they are: not augmented, not mixed.

    Args:
        model: what is tested.
        recipe: its recipe.
        clips: at least one.
        progress: share of the training that is done; the loss may depend on it.
    """
    device = clips.frames.device
    done, correct, loss = torch.full((), progress, device=device), 0.0, 0.0
    for index, out in outputs(model, recipe, clips):
        logits, label = out["logits"], torch.from_numpy(clips.label[index]).to(device)
        target = F.one_hot(label, logits.shape[-1]).float()
        correct += (logits.argmax(-1) == label).sum()
        loss += len(index) * recipe.loss(out, target, done)
    return float(correct) / len(clips), float(loss) / len(clips)


def accuracy(logits: Float[np.ndarray, "N K"], label: np.ndarray, top: int = 1) -> float:
    """Share of clips whose sign is among the `top` most likely."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :top]
    return float((best == label[:, None]).any(1).mean())


# --- tables -------------------------------------------------------------------------------------
#
# A predictions table has a row per clip and role: sequence, participant, sign, label, fold, role,
# logits. Out of fold means: every clip is predicted by a model that never saw its participant.


def stacked(predictions: pd.DataFrame) -> Float[np.ndarray, "N K"]:
    """The logits column as one array."""
    return np.stack(predictions.logits.to_list()).astype(np.float32)


def by_role(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of every role: over all clips, among the five most likely, and in each fold."""
    rows = {}
    for role, table in predictions.groupby("role", sort=False):
        logits, label = stacked(table), table.label.to_numpy()
        row = {"accuracy": accuracy(logits, label), "top5": accuracy(logits, label, top=5)}
        for fold in sorted(table.fold.unique()):
            inside = (table.fold == fold).to_numpy()
            row[f"fold{fold}"] = accuracy(logits[inside], label[inside])
        rows[role] = row | {"clips": len(table)}
    return pd.DataFrame.from_dict(rows, orient="index")


def by_group(predictions: pd.DataFrame, column: str) -> pd.Series:
    """Accuracy of one role's predictions within each sign or participant."""
    correct = stacked(predictions).argmax(1) == predictions.label.to_numpy()
    return pd.Series(correct, index=predictions.index).groupby(predictions[column]).mean()


def confusion_counts(predictions: pd.DataFrame, classes: int) -> np.ndarray:
    """(K, K) clips of each sign (row) by the sign they were taken for (column)."""
    predicted = stacked(predictions).argmax(1)
    return confusion_matrix(predictions.label, predicted, labels=range(classes))


def worst_pairs(counts: np.ndarray, signs: Sequence[str], most: int = 10) -> pd.DataFrame:
    """The pairs of signs that are confused most often: sign, predicted, clips."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows = [
        (signs[i], signs[j], int(wrong[i, j]))
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
    ]
    return pd.DataFrame([row for row in rows if row[2]], columns=["sign", "predicted", "clips"])


def softmax(logits: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
    """Probabilities."""
    return scipy.special.softmax(logits, axis=1)


def blend(members: dict[str, pd.DataFrame], weights: Sequence[float] | None = None) -> pd.DataFrame:
    """The ensemble of members: the weighted mean of their probabilities, as log probabilities.

    Args:
        members: one role's predictions per member, of the same clips in any order.
        weights: one per member, sum 1; None = equal.

    Raises:
        InputError: the members predict different clips.
    """
    tables = [table.set_index(["fold", "sequence"]) for table in members.values()]
    for name, table in zip(members, tables, strict=True):
        if not table.index.sort_values().equals(tables[0].index.sort_values()):
            raise InputError(
                f"{name}: expected predictions of the clips that {next(iter(members))} predicts, "
                "found others; train both on the same folds"
            )
    weights = weights or [1 / len(tables)] * len(tables)
    ordered = [stacked(table.loc[tables[0].index]) for table in tables]
    mean = sum(w * softmax(logits) for w, logits in zip(weights, ordered, strict=True))
    blended = tables[0].reset_index().assign(role="ensemble")
    blended["logits"] = list(np.log(np.maximum(mean, 1e-12)).astype(np.float32))
    return blended


def mistakes(predictions: pd.DataFrame, signs: Sequence[str]) -> pd.DataFrame:
    """Wrong predictions, most confident first, with the sign that was predicted and how surely."""
    probability = softmax(stacked(predictions))
    best = probability.argmax(1)
    table = predictions[["sequence", "participant", "sign"]].assign(
        predicted=[signs[k] for k in best], probability=probability.max(1)
    )
    wrong = table[best != predictions.label.to_numpy()]
    return wrong.sort_values("probability", ascending=False, ignore_index=True)
