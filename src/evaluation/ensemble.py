"""The weight of each member of an ensemble, found on signers whom the members have not seen.

- The weights are those of a mixture: they maximise the likelihood of the out-of-fold predictions.
  The problem is convex, and expectation-maximisation solves it without a step size.
- No weights are scored on the clips that they were found on: signers are dealt into groups, and
  each group is predicted with the weights of the other groups.

Letters: **M** members, **N** clips, **K** signs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.model_selection import GroupKFold

from src.evaluation.tables import accuracy, blend, softmax, stacked

ROUNDS = 200  # of expectation-maximisation; the weights move by less than 1e-3 after some fifty
GROUPS = 4  # of signers, fewer where there are fewer signers
NEGLIGIBLE = 0.01  # a member of less weight is left out of the file
Tables = Mapping[str, pd.DataFrame]  # member -> its shipped role's out-of-fold predictions


def aligned(tables: Tables) -> dict[str, pd.DataFrame]:
    """The members' predictions with their clips in one order, that of the first."""
    first = next(iter(tables.values()))[["fold", "sequence"]]
    return {name: first.merge(table, validate="one_to_one") for name, table in tables.items()}


def mixture_weights(
    likelihood: Float[np.ndarray, "M N"], rounds: int = ROUNDS
) -> Float[np.ndarray, " M"]:
    """The weights, not negative, sum 1, of the mixture under which the clips are most likely.

    `likelihood` is the probability that each member gives to the right sign of each clip.
    """
    likelihood = np.maximum(likelihood.astype(np.float64), 1e-12)
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(rounds):
        share = weights[:, None] * likelihood
        weights = (share / share.sum(0)).mean(1)
    return weights


def find_weights(tables: Tables) -> dict[str, float]:
    """The most likely weights for predictions of the same clips; negligible ones become 0."""
    tables = aligned(tables)
    found = mixture_weights(np.stack([_of_the_right_sign(t) for t in tables.values()]))
    found = np.where(found < NEGLIGIBLE, 0.0, found)
    return dict(zip(tables, (found / found.sum()).tolist(), strict=True))


def _of_the_right_sign(table: pd.DataFrame) -> Float[np.ndarray, " N"]:
    probability = softmax(stacked(table))
    return probability[np.arange(len(table)), table.label.to_numpy()]


def signer_groups(table: pd.DataFrame) -> np.ndarray:
    """The group of every clip; all clips of a signer are in one group."""
    group, n_groups = np.zeros(len(table), np.int64), min(GROUPS, table.participant.nunique())
    if n_groups > 1:
        splits = GroupKFold(n_groups).split(table, groups=table.participant.to_numpy())
        for number, (_, inside) in enumerate(splits):
            group[inside] = number
    return group


def cross_fitted(tables: Tables) -> pd.DataFrame:
    """The ensemble's predictions, each group of signers with the weights of the other groups.

    If there is only one signer, there is no other group, and the weights are equal.
    """
    tables = aligned(tables)
    group = signer_groups(next(iter(tables.values())))
    pieces = []
    for number in np.unique(group):
        here = {name: table[group == number] for name, table in tables.items()}
        others = {name: table[group != number] for name, table in tables.items()}
        weights = find_weights(others) if (group != number).any() else None
        pieces.append(blend(here, list(weights.values()) if weights else None))
    return pd.concat(pieces, ignore_index=True)


def chosen_weights(tables: Tables) -> dict[str, float]:
    """The fitted weights, or equal ones where the fitted ones are worse on other signers.

    Likelihood punishes a member that is too sure of itself, also one that is right very often.
    """
    equal = {name: 1 / len(tables) for name in tables}
    worse = accuracy(cross_fitted(tables)) < accuracy(blend(aligned(tables)))
    return equal if worse else find_weights(tables)


def weights_for(tables: Tables, fold: int, fitted: bool = True) -> dict[str, float]:
    """Weights for the members that are scored on a fold, chosen on all other folds.

    If no other fold is trained, or if not `fitted`, they are equal: weights found on the scored
    clips would flatter.
    """
    others = {name: table[table.fold != fold] for name, table in tables.items()}
    if not fitted or any(table.empty for table in others.values()):
        return {name: 1 / len(tables) for name in tables}
    return chosen_weights(others)


def leave_one_out(tables: Tables, fold: int, fitted: bool = True) -> pd.DataFrame:
    """Accuracy on a fold's clips of each member alone, and of the ensemble without it.

    The last row, "ensemble", is all of them with the weights of the file that is scored.
    """
    rows = {}
    for name, table in tables.items():
        others = {other: t for other, t in tables.items() if other != name}
        without = accuracy(on_fold(others, fold, fitted)) if others else float("nan")
        rows[name] = {"alone": accuracy(table[table.fold == fold]), "without": without}
    rows["ensemble"] = {"alone": accuracy(on_fold(tables, fold, fitted)), "without": float("nan")}
    return pd.DataFrame.from_dict(rows, orient="index")


def on_fold(tables: Tables, fold: int, fitted: bool = True) -> pd.DataFrame:
    """The ensemble's predictions of a fold's clips, with the weights of `weights_for`."""
    weights = weights_for(tables, fold, fitted)
    here = {name: table[table.fold == fold] for name, table in aligned(tables).items()}
    return blend(here, [weights[name] for name in here])
