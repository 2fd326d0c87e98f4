"""What 16- and 8-bit weights cost in accuracy: torch against .tflite, on held-out real clips.

    python -m tests.benchmarks files

- The networks are those of `real_clips`, seed 0; finished trainings are not repeated. There is a
  file per solution, and one of all but the pupil with equal weights.
- The competition's scorer answers the raw clips. As in `real_clips`, only clips whose sign is among
  the training clips are scored.
"""

import tempfile
from pathlib import Path

import pandas as pd
import torch

from src.evaluation.ensemble import pool_of, rule_for, votes_for
from src.runs import Run
from src.submission import assemble as submission
from src.tflite.converter.convert import Precision
from src.tflite.export import ExportOptions, write_tflite
from src.tflite.scorer import Score, score
from tests.benchmarks.real_clips import FOLD, SPLITS, Split, accuracies, all_trained, contents
from tests.benchmarks.table import Table

RECIPES = "frame_deberta,hand_bert,conv_transformer,llama,hierarchical,pupil"
PRECISIONS: tuple[Precision, ...] = ("fp16", "int8")


def scored(run: Run, names: list[str], precision: Precision) -> Score:
    """A file of these members on the held-out clips."""
    tables = {name: run.shipped_predictions()[name] for name in names}
    rule = rule_for(tables)
    members = submission.members(run, FOLD, votes_for(tables, FOLD, rule))
    clips = submission.held_out_clips(run, FOLD)
    known = set(run.clips.sign[run.clips.fold != FOLD])
    with tempfile.TemporaryDirectory() as folder:
        options = ExportOptions(precision=precision, pool=pool_of(rule))
        path = write_tflite(members, Path(folder) / "model.tflite", options).path
        return score(path, run.data, clips[clips.sign.isin(known)])


def rows_of(split: Split, run: Run) -> list[dict]:
    """A row per file."""
    by_torch = accuracies(run)
    rows = []
    for name, members in contents(run).items():
        print(f"files: {split.name}, {name} ...", flush=True)
        row: dict = {"held out of": split.name, "file": name, "torch": by_torch[name]}
        for precision in PRECISIONS:
            found = scored(run, members, precision)
            row |= {precision: found.accuracy, f"{precision} MB": found.size_mb}
            row |= {f"{precision} ms": found.latencies["mean"]}
        rows.append(row)
    return rows


def run() -> None:
    """Train what is not trained yet, write the files, score them, print."""
    torch.set_num_threads(1)
    runs = all_trained(SPLITS, 1, RECIPES)
    rows = [row for (split, _), (of, _) in runs.items() for row in rows_of(split, of)]
    lost = pd.DataFrame(rows).eval("fp16 - int8").groupby([row["file"] for row in rows]).mean()
    losses = ", ".join(f"{name} {loss:+.3f}" for name, loss in lost.items())
    Table(
        name="files",
        title="Accuracy of .tflite files on held-out real clips, seed 0",
        rows=rows,
        limit="torch's accuracy",
        notes=[
            f"8-bit weights cost, mean of the splits, in accuracy: {losses}",
            "ms: mean of the clips, one thread, by the clock",
        ],
    ).publish()
