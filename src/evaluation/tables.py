"""Tables of predictions, and what is read off them: accuracies, confusions, mistakes.

A predictions table has a row per clip and role: sequence, participant, sign, label, fold, role,
logits. Out of fold means that every clip is predicted by a model that never saw its participant.

Letters: **N** clips, **K** signs.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import softmax


def accuracy(predictions: pd.DataFrame, top: int = 1) -> float:
    """Share of clips whose sign is among the `top` most likely."""
    best = np.argsort(-stacked(predictions), axis=1, kind="stable")[:, :top]
    return float((best == predictions.label.to_numpy()[:, None]).any(1).mean())


def stacked(predictions: pd.DataFrame) -> Float[np.ndarray, "N K"]:
    """The logits column as one array."""
    return np.stack(predictions.logits.to_list()).astype(np.float32)


def by_role(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, top-5 accuracy and accuracy within each fold, of every role."""
    rows = {}
    for role, table in predictions.groupby("role", sort=False):
        folds = {f"fold{fold}": accuracy(inside) for fold, inside in table.groupby("fold")}
        both = {"accuracy": accuracy(table), "top5": accuracy(table, top=5)}
        rows[role] = both | folds | {"clips": len(table)}
    return pd.DataFrame.from_dict(rows, orient="index")


def by_group(predictions: pd.DataFrame, column: str) -> pd.Series:
    """Accuracy of one role's predictions within each sign or participant."""
    correct = stacked(predictions).argmax(1) == predictions.label.to_numpy()
    return pd.Series(correct, index=predictions.index).groupby(predictions[column]).mean()


def confusion_counts(predictions: pd.DataFrame, classes: int) -> np.ndarray:
    """Count the clips of each sign (row) by the sign that they were taken for (column): (K, K)."""
    from sklearn.metrics import confusion_matrix  # takes most of a second, and only this needs it

    predicted = stacked(predictions).argmax(1)
    return confusion_matrix(predictions.label, predicted, labels=range(classes))


def worst_pairs(counts: np.ndarray, signs: Sequence[str], most: int = 10) -> pd.DataFrame:
    """The pairs of signs that are confused most often: sign, predicted, clips."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    rows = [(signs[i], signs[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]
    return pd.DataFrame(rows, columns=["sign", "predicted", "clips"])


def mistakes(predictions: pd.DataFrame, signs: Sequence[str]) -> pd.DataFrame:
    """Wrong predictions, most confident first, with the predicted sign and its probability."""
    probability = softmax(stacked(predictions), axis=1)
    best = probability.argmax(1)
    table = predictions[["sequence", "participant", "sign"]].assign(
        predicted=[signs[k] for k in best], probability=probability.max(1)
    )
    wrong = table[best != predictions.label.to_numpy()]
    return wrong.sort_values("probability", ascending=False, ignore_index=True)


def worth_recording(predictions: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    """Rank the signs: those that more recordings would help most come first.

    A sign's row has its clips and signers (of all clips), its accuracy (of held-out clips) and
    taken_for, the sign that it is most often taken for, or "". A sign without a held-out clip has
    NaN as its accuracy, and comes last. A predicted sign that has no clips at all is not counted
    in taken_for.
    """
    signs = clips.drop_duplicates("label").set_index("label").sign
    best = pd.Series(stacked(predictions).argmax(1), predictions.index)
    wrong = predictions[best != predictions.label]
    taken = (
        best[wrong.index]
        .map(signs)
        .groupby(wrong.sign)
        .agg(lambda for_: next(iter(for_.mode()), ""))
    )
    table = clips.groupby("sign").agg(clips=("sign", "size"), signers=("participant", "nunique"))
    taken = taken.reindex(table.index).fillna("")
    table = table.assign(accuracy=by_group(predictions, "sign"), taken_for=taken)
    return table.sort_values(["accuracy", "signers", "clips"])
