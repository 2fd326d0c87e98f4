"""Folds: which clips a model is tested on, grouped by participant.

- A training on fold k holds out the clips of fold k, and is tested on them. A training on
  `EVERYTHING` holds out no clip.
- A clip of fold `TRAIN_ONLY` is never held out: it is extra data, or belongs to a participant that
  `hold_out` does not name, or to the training part of data that are already split.
- The competition's 21 participants have the folds that the 6th place published. Today's
  scikit-learn gives other folds for the same seed: only 19 % of the clips keep theirs.
"""

import warnings
from collections.abc import Collection
from typing import Literal
from unicodedata import normalize

import numpy as np
import pandas as pd

from src.common.errors import InputError

TRAIN_ONLY = -1  # a clip's fold
EVERYTHING = "everything"  # a training's, instead of a fold
Fold = int | Literal["everything"]
N_FOLDS = 4  # at most, for participants who are not the competition's
SEED = 42  # for these folds

PUBLISHED_PARTICIPANTS = (  # recognition.md 3.5, TheoViel/kaggle_islr's folds_4.csv
    ("2044", "4718", "16069", "34503", "53618"),
    ("25571", "28656", "37779", "49445", "62590"),
    ("22343", "26734", "27610", "29302", "36257", "55372"),
    ("18796", "30680", "32319", "37055", "61333"),
)
PUBLISHED_FOLD = {p: k for k, group in enumerate(PUBLISHED_PARTICIPANTS) for p in group}


def of_the_competition(participants: pd.Series) -> bool:
    """True if all of these are the competition's participants, judging by their numbers."""
    return bool(participants.isin(PUBLISHED_FOLD).all())


def assign(clips: pd.DataFrame, divided: bool = False) -> pd.Series:
    """The fold of every clip; a participant's clips are all in one fold, unless there is only
    one participant.

    Args:
        clips: columns participant, label, training_only.
        divided: the data are already split into clips to train on (training_only) and clips to
            test on; the latter become one fold.

    Returns:
        (clips,) int, `TRAIN_ONLY` where training_only.
    """
    fold = pd.Series(TRAIN_ONLY, index=clips.index, dtype="int64", name="fold")
    tested = clips[~clips.training_only]
    if divided or tested.empty:
        fold[tested.index] = 0
        return fold
    # The competition's participants, or some of them, have the published folds if two have clips.
    published = tested.participant.map(PUBLISHED_FOLD)
    if of_the_competition(tested.participant) and published.nunique() > 1:
        fold[tested.index] = published.astype("int64")
        return fold
    n_folds = min(N_FOLDS, tested.participant.nunique())
    if n_folds < 2:  # one signer: every fourth clip of a sign, so that each sign is learnt
        number = tested.groupby("label").cumcount()
        fold[tested.index] = number % min(N_FOLDS, number.max() + 1)
        return fold
    from sklearn.model_selection import StratifiedGroupKFold  # most of a second, needed only here

    # A sign with fewer clips than folds cannot be in every fold. scikit-learn warns about it,
    # and fails if all signs are like that; the folds are then only made equally large.
    label = tested.label if tested.label.value_counts().max() >= n_folds else 0 * tested.label
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(splitter.split(tested.label, label, groups=tested.participant))
    for k, (_, held_out) in enumerate(parts):
        fold[tested.index[held_out]] = k
    return fold


def shared_signers(clips: pd.DataFrame, fold: Fold) -> bool:
    """True if signers of a fold's clips also sign clips that its training learns from."""
    held_out = clips.fold == fold
    return bool(clips.participant[held_out].isin(clips.participant[~held_out]).any())


def present(clips: pd.DataFrame, wanted: Collection[Fold]) -> tuple[Fold, ...]:
    """The wanted folds that have clips, or else the first with clips; `EVERYTHING` always stays."""
    there = {*clips.fold.tolist()} - {TRAIN_ONLY}
    chosen = tuple(fold for fold in wanted if fold in there or fold == EVERYTHING)
    return (min(there), *chosen) if there and not there & {*chosen} else chosen


def named(text: str, clips: pd.DataFrame) -> tuple[str, ...]:
    """The participants that HOLD_OUT names, separated by commas; a name may contain commas, too.

    Names are found in any Unicode form; a Mac writes file names in another than its keyboard does.
    """
    known = {normalize("NFC", name): name for name in clips.participant.unique()}
    pieces, names = normalize("NFC", text).split(","), []
    while pieces:
        # Take the longest known name; failing that, the first piece, which `hold_out` refuses.
        joined = [",".join(pieces[:n]).strip() for n in range(1, len(pieces) + 1)]
        taken = max((n for n, name in enumerate(joined, 1) if name in known), default=1)
        names.append(known.get(joined[taken - 1], joined[taken - 1]))
        pieces = pieces[taken:]
    return tuple(name for name in names if name)


def hold_out(clips: pd.DataFrame, participants: Collection[str]) -> pd.Series:
    """The folds of a split by name: these participants are fold 0, all others `TRAIN_ONLY`.

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
    """Signs that a fold holds out entirely, so no network learns them: fold, sign, clips."""
    rows = []
    for fold, held_out in clips[clips.fold != TRAIN_ONLY].groupby("fold"):
        trained = set(clips.sign[clips.fold != fold])
        counts = held_out.sign[~held_out.sign.isin(trained)].value_counts()
        rows += [(fold, sign, count) for sign, count in counts.items()]
    return pd.DataFrame(rows, columns=["fold", "sign", "clips"])
