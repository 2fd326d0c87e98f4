"""Profiles: which data, folds and recipes a run takes."""

from dataclasses import dataclass

from src.common.errors import InputError
from src.dataset.folds import EVERYTHING, Fold


@dataclass(frozen=True)
class Profile:
    """One profile."""

    synthetic: bool  # the run writes its own sample competition when DATA is not given
    folds: tuple[Fold, ...]  # to train; the first is the one whose .tflite is scored
    recipes: str = "frame_deberta"  # trained if RECIPES is empty


PROFILES = {
    "sample": Profile(synthetic=True, folds=(0,)),  # minutes on two CPU cores
    # For few clips. The face is hidden: in small collections only some sources have one, so it
    # would give the source away. Positions are counted from the nose of the pose or from the
    # shoulders. The hands are enlarged, because few clips do not teach a network to look closer.
    # These two recipes make a small file that is hardly worse than all five (logs/EXPERIMENTS.md).
    # Training takes some two minutes on two CPU cores.
    "cpu": Profile(synthetic=False, folds=(0,), recipes="conv_transformer,hand_bert"),
    # Takes days on one core; see docs/real_run.md.
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
