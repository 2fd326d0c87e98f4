"""Profiles: how much of everything a run does."""

from __future__ import annotations

from dataclasses import dataclass

from src.common.errors import InputError
from src.dataset.folds import EVERYTHING, Fold


@dataclass(frozen=True)
class Profile:
    """One profile.

    Args:
        synthetic: the run writes its own sample competition when DATA is not given.
        folds: the folds to train; the first is the one whose .tflite is scored.
        time: what to expect.
    """

    synthetic: bool
    folds: tuple[Fold, ...]
    time: str


PROFILES = {
    "sample": Profile(synthetic=True, folds=(0,), time="minutes on two CPU cores"),
    "cpu": Profile(synthetic=False, folds=(0,), time="some ten minutes on two CPU cores"),
    "full": Profile(synthetic=False, folds=(0, 1, 2, 3, EVERYTHING), time="hours on one GPU"),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PROFILES:
        raise InputError(f"PROFILE: no profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]
