"""From trained members to a submission: which networks, on which clips, and the report about them.

- The file that is scored is made of the first fold's members: the signers that it is scored on were
  held out of them. Where the profile also fits everything, that fit is what is submitted; the same
  code makes both files.
- report.md and its twin report.json say which data all figures are about; model_card.md is what
  goes with the file wherever it goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from src.common.files import write_atomically
from src.dataset.folds import EVERYTHING
from src.runs import Run
from src.tflite.export import Exported, write_tflite
from src.tflite.export import write_submission as pack
from src.tflite.members import Member, member_of
from src.tflite.parity import Frames, edge_clips
from src.tflite.scorer import load_frames, read_clips

PARITY_CLIPS = 20  # genuine clips in the ladder, beside those at the edges


def scored_fold(run: Run) -> int:
    """The fold whose held-out clips the file is scored on."""
    return next(fold for fold in run.about.folds if fold != EVERYTHING)


def members(run: Run, fold: int, weights: Mapping[str, float]) -> list[Member]:
    """The run's shipped networks of one fold.

    Args:
        run: with the trained members.
        fold: that was held out.
        weights: of each member; one without weight is left out.
    """
    return [
        member_of(run.recipe(name), run.model(name, fold), weight)
        for name, weight in weights.items()
        if weight > 0
    ]


def held_out_clips(run: Run, fold: int) -> pd.DataFrame:
    """The rows of train.csv that a fold holds out, with paths as the scorer wants them."""
    rows = read_clips(Path(run.about.data))
    held_out = set(run.clips.sequence[run.clips.fold == fold])
    return rows[rows.sequence_id.isin(held_out)].reset_index(drop=True)


def some_clips(run: Run, clips: pd.DataFrame) -> list[Frames]:
    """A few of these raw clips, from the shortest to the longest."""
    order = clips.sequence_id.map(run.lengths).argsort().to_numpy()
    chosen = order[np.unique(np.linspace(0, len(order) - 1, PARITY_CLIPS).round().astype(int))]
    return [load_frames(Path(run.about.data) / path) for path in clips.path.iloc[chosen]]


def parity_clips(run: Run, clips: pd.DataFrame, max_len: int) -> list[Frames]:
    """Clips for the ladder: some of these, and edge cases."""
    return [*some_clips(run, clips), *edge_clips(max_len).values()]


def write_submission(run: Run, scored: Exported, weights: Mapping[str, float]) -> list[Path]:
    """Write model.tflite and submission.zip.

    The file is made of the fit on everything where the profile has one; else it is the scored one.

    Args:
        run: with the trained members.
        scored: the file that was scored.
        weights: of the members of the fit on everything, found on all out-of-fold clips.
    """
    path = run.folder / "model.tflite"
    if EVERYTHING in run.about.folds:
        write_tflite(members(run, EVERYTHING, weights), path, scored.options)
    else:
        write_atomically(path, lambda temporary: shutil.copyfile(scored.path, temporary))
    pack(path, run.folder / "submission.zip")
    return [path, run.folder / "submission.zip"]
