"""What the authors of each solution report, on the competition's own data: to stand beside ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One solution's figures.

    Args:
        place: where it comes from.
        score: accuracy on the competition's test sets, or in cross-validation (CV).
        cost: of training.
    """

    place: str
    score: str
    cost: str


_HAND = "of the transformers alone .717 on one fold; .81 public with a CNN"
_LLAMA = "four GPUs, 100 epochs of 1,024 batches"

PUBLISHED = {
    "frame_deberta": Published("6th place", "private .877, CV .7490", "16 V100-hours a member"),
    "hand_bert": Published("2nd place", _HAND, "70 epochs"),
    "hand_deberta": Published("2nd place", _HAND, "70 epochs"),
    "conv_transformer": Published("1st place", "private .88, CV about .80", "4 h on two TPU cores"),
    "llama": Published("26th place", "private .8544", _LLAMA),
    "llama_ensemble": Published("26th place", "private .8585", _LLAMA),
    "hierarchical": Published("Slovo", "unknown", "14 h 40 min on a P100, 500 signs"),
}
