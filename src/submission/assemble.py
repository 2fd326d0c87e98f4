"""From trained members to a submission: which networks are shipped, and which clips test them.

- The scored file is made of the first fold's members, whose training held out the signers that the
  file is scored on.
- If the profile also fits everything, the submitted file is made of that fit, by the same code.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from src.clips import RawClip
from src.common.files import write_atomically, write_json
from src.common.paths import SIGN_MAP
from src.dataset.competition import read_index
from src.dataset.folds import EVERYTHING, Fold
from src.evaluation.ensemble import Votes
from src.runs import Run
from src.tflite.export import Exported, write_tflite, write_zip
from src.tflite.members import Member, member_of
from src.tflite.parity import edge_clips
from src.tflite.scorer import load_frames

PARITY_CLIPS = 20  # recorded clips in the ladder, beside the synthetic edge cases


def scored_fold(run: Run) -> int:
    """The fold whose held-out clips the file is scored on."""
    return next(fold for fold in run.about.folds if fold != EVERYTHING)


def members(run: Run, fold: Fold, votes: Votes) -> list[Member]:
    """The run's networks whose training held this fold out; a member of weight 0 is left out."""
    return [
        member_of(run.recipe(name), run.model(name, fold), vote.weight, vote.temperature)
        for name, vote in votes.items()
        if vote.weight > 0
    ]


def held_out_clips(run: Run, fold: int) -> pd.DataFrame:
    """The clips that a fold holds out, as rows of `read_index`."""
    index = read_index(run.data)
    held_out = run.clips.sequence[run.clips.fold == fold]
    return index[index.sequence.isin(held_out)].reset_index(drop=True)


def some_clips(run: Run, clips: pd.DataFrame) -> list[RawClip]:
    """Load the raw clips of a few of these rows, from the shortest to the longest."""
    order = clips.sequence.map(run.lengths).argsort().to_numpy()
    chosen = order[np.unique(np.linspace(0, len(order) - 1, PARITY_CLIPS).round().astype(int))]
    return [load_frames(Path(path)) for path in clips.path.iloc[chosen]]


def parity_clips(run: Run, clips: pd.DataFrame, max_len: int) -> list[RawClip]:
    """The ladder's clips: a few of these rows' raw clips, then the edge cases."""
    return [*some_clips(run, clips), *edge_clips(max_len).values()]


def write_submission(run: Run, scored: Exported, votes: Votes) -> Exported:
    """Write model.tflite, its sign map and submission.zip; returns what the file is made of.

    The file is the fit on everything if the profile has one, with votes that were found on all
    out-of-fold clips; otherwise it is the scored file.
    """
    path = run.folder / "model.tflite"
    # If the run is killed here, nothing about the old file may lie beside the new one.
    for name in (SIGN_MAP, "submission.zip", "report.json", "model_card.md", "report.md"):
        (run.folder / name).unlink(missing_ok=True)
    if EVERYTHING in run.about.folds:
        submitted = write_tflite(members(run, EVERYTHING, votes), path, scored.options)
    else:
        write_atomically(path, lambda temporary: shutil.copyfile(scored.path, temporary))
        submitted = replace(scored, path=path)
    write_json(run.folder / SIGN_MAP, run.store.signs)
    write_zip(path, run.folder / "submission.zip")
    return submitted
