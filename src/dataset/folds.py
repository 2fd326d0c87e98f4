"""Folds: which clips a model is tested on, grouped by participant.

- The competition's 21 participants have the fold the 6th place published: today's scikit-learn
  gives other folds for the same seed (only 19 % of the clips keep theirs).
- A clip of fold `TRAIN_ONLY` is in every training and never tested on: extra data, what `hold_out`
  leaves, and the training clips of data that come divided.
- A training on fold k holds out the clips of fold k; a training on `EVERYTHING` holds out none.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from src.common.errors import InputError

TRAIN_ONLY = -1
EVERYTHING = "everything"
Fold = int | Literal["everything"]  # what a training holds out
N_FOLDS = 4

PUBLISHED_PARTICIPANTS = (  # recognition.md 3.5, TheoViel/kaggle_islr's folds_4.csv
    ("2044", "4718", "16069", "34503", "53618"),
    ("25571", "28656", "37779", "49445", "62590"),
    ("22343", "26734", "27610", "29302", "36257", "55372"),
    ("18796", "30680", "32319", "37055", "61333"),
)
PUBLISHED_FOLD = {p: k for k, group in enumerate(PUBLISHED_PARTICIPANTS) for p in group}


def assign(
    clips: pd.DataFrame, n_folds: int = N_FOLDS, seed: int = 42, given: bool = False
) -> pd.Series:
    """The fold of every clip; a participant's clips are all in one fold.

    Args:
        clips: columns participant, label, training_only.
        n_folds: at most; fewer where there are fewer participants.
        seed: of StratifiedGroupKFold, for participants that are not the competition's.
        given: all that is not training_only is one fold, because the data are divided already.

    Returns:
        (clips,) int, `TRAIN_ONLY` where training_only.
    """
    fold = pd.Series(TRAIN_ONLY, index=clips.index, dtype="int64", name="fold")
    tested = clips[~clips.training_only]
    if given:
        fold[tested.index] = 0
        return fold
    if set(tested.participant) <= set(PUBLISHED_FOLD):
        fold[tested.index] = tested.participant.map(PUBLISHED_FOLD).astype("int64")
        return fold
    n_folds = min(n_folds, tested.participant.nunique())
    if n_folds < 2:
        fold[tested.index] = 0
        return fold
    # A sign of fewer clips than folds cannot be in each: scikit-learn warns of that, and refuses
    # if no sign has more; then the folds are only made equally large.
    label = tested.label if tested.label.value_counts().max() >= n_folds else 0 * tested.label
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(splitter.split(tested.label, label, groups=tested.participant))
    for k, (_, held_out) in enumerate(parts):
        fold[tested.index[held_out]] = k
    return fold


def present(clips: pd.DataFrame, wanted: Collection[Fold]) -> tuple[Fold, ...]:
    """Of the folds that are wanted those that these clips have; `EVERYTHING` always is."""
    there = {EVERYTHING, *clips.fold.tolist()}
    return tuple(fold for fold in wanted if fold in there)


def hold_out(clips: pd.DataFrame, participants: Collection[str]) -> pd.Series:
    """Folds for one named split: these participants are fold 0, everybody else only trains.

    Raises:
        InputError: a participant has no clip.
    """
    known = set(clips.participant[~clips.training_only])
    missing = sorted(set(participants) - known)
    if missing:
        raise InputError(
            f"HOLD_OUT: no clip of participant {', '.join(missing)}; there are "
            f"{', '.join(sorted(known))}"
        )
    held_out = clips.participant.isin(set(participants)) & ~clips.training_only
    return pd.Series(np.where(held_out, 0, TRAIN_ONLY), index=clips.index, name="fold")


def uncovered(clips: pd.DataFrame) -> pd.DataFrame:
    """Signs that a fold is tested on but has no training clip of: columns fold, sign, clips."""
    rows = []
    for fold, held_out in clips[clips.fold != TRAIN_ONLY].groupby("fold"):
        trained = set(clips.sign[clips.fold != fold])
        counts = held_out.sign[~held_out.sign.isin(trained)].value_counts()
        rows += [(fold, sign, count) for sign, count in counts.items()]
    return pd.DataFrame(rows, columns=["fold", "sign", "clips"])
