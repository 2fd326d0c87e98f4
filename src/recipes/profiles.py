"""Profiles: how much of everything a run does."""

from dataclasses import dataclass

from src.common.errors import InputError
from src.dataset.folds import EVERYTHING, Fold


@dataclass(frozen=True)
class Profile:
    """One profile."""

    synthetic: bool  # the run writes its own sample competition when DATA is not given
    folds: tuple[Fold, ...]  # to train; the first is the one whose .tflite is scored
    recipes: str = "frame_deberta"  # what is trained where RECIPES is empty


PROFILES = {
    "sample": Profile(synthetic=True, folds=(0,)),  # minutes on two CPU cores
    # For few clips. No face: small collections of clips have it from some sources only, and that
    # would tell the source. Positions are counted from the nose of the pose or from the shoulders,
    # and the hands enlarged: from few clips a network does not learn to look closer. These two
    # recipes together are a small file, and hardly worse than all five (logs/EXPERIMENTS.md). Some
    # five minutes on two CPU cores.
    "cpu": Profile(synthetic=False, folds=(0,), recipes="conv_transformer,hand_bert"),
    # Days of a core; docs/real_run.md.
    "full": Profile(synthetic=False, folds=(0, 1, 2, 3, EVERYTHING)),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PROFILES:
        raise InputError(f"PROFILE: no profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]
