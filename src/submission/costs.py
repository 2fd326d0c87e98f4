"""What members cost in the file, alone and by their absence, and the tables that compare them.

Measured on files, not added up: members that begin alike share their beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from src.clips import RawClip
from src.common.errors import InputError
from src.common.files import write_atomically
from src.evaluation.tables import accuracy, stacked
from src.recipes import SOLUTIONS, solution_of
from src.runs import Run
from src.tflite.export import ExportOptions, write_tflite
from src.tflite.members import Member
from src.tflite.scorer import LIMIT_MB, LIMIT_MS, Model, timed
from src.training.roles import sizes

OTHER_DATA = "published, on other data"
REPEATS = 3  # of all clips; the fastest pass counts, the others are the machine's


@dataclass(frozen=True)
class Cost:
    """What one file costs.

    Args:
        name: of the member, or of the ensemble.
        size_mb: 10^6 bytes.
        mean_ms: mean latency of a clip on one thread.
    """

    name: str
    size_mb: float
    mean_ms: float

    def __str__(self) -> str:
        return f"{self.name} {self.size_mb:.1f} MB {self.mean_ms:.1f} ms"


def measure(name: str, path: Path, clips: Sequence[RawClip]) -> Cost:
    """The cost of a file on these raw clips."""
    model = Model(path)
    timed(model, clips[0])  # the first call allocates
    passes = [np.mean([timed(model, frames)[1] for frames in clips]) for _ in range(REPEATS)]
    return Cost(name, model.size_mb, float(min(passes)))


def of_members(
    members: Sequence[Member], folder: Path, options: ExportOptions, clips: Sequence[RawClip]
) -> list[Cost]:
    """Write each member as a file of its own, `<folder>/<name>.tflite`, and measure it."""
    costs = []
    for member in members:
        path = write_tflite([member], folder / f"{member.name}.tflite", options).path
        costs.append(measure(member.name, path, clips))
    return costs


def without_each(
    members: Sequence[Member], folder: Path, options: ExportOptions, clips: Sequence[RawClip]
) -> list[Cost]:
    """The cost of the ensemble without each of its members; the files are not kept."""
    costs = []
    for member in members:
        rest = [other for other in members if other is not member]
        path = write_tflite(rest, folder / "without.tflite", options).path
        costs.append(measure(member.name, path, clips))
        path.unlink()
    return costs


def check(ensemble: Cost, members: Sequence[Cost]) -> None:
    """Refuse a combination that the competition would not take.

    Raises:
        InputError: over 40 MB or 100 ms; the message says what each member costs.
    """
    if ensemble.size_mb < LIMIT_MB and ensemble.mean_ms < LIMIT_MS:
        return
    raise InputError(
        f"ensemble: expected less than {LIMIT_MB:g} MB and {LIMIT_MS:g} ms, found {ensemble}; "
        f"leave a member out of RECIPES: {', '.join(map(str, members))}"
    )


def ensemble_table(
    alone: Sequence[Cost], without: Sequence[Cost], whole: Cost, accuracies: pd.DataFrame
) -> pd.DataFrame:
    """Accuracy, size and latency of each member, of the ensemble, and of leaving each one out.

    Args:
        alone: what each member costs.
        without: what the ensemble costs without each; empty where there is but one member.
        whole: what the ensemble costs.
        accuracies: what `ensemble.leave_one_out` answers.
    """
    columns = {"size, MB": "size_mb", "latency, ms": "mean_ms"}
    parts = {"alone": [*alone, whole], "without": without}
    frame = pd.DataFrame(
        {
            (part, column): {cost.name: getattr(cost, field) for cost in rows}
            for part, rows in parts.items()
            for column, field in columns.items()
        },
        index=[cost.name for cost in [*alone, whole]],
    )
    for part in parts:
        frame[(part, "accuracy")] = accuracies[part]
    return frame[[(part, c) for part in parts for c in ("accuracy", *columns)]]


def recipe_table(run: Run, costs: Sequence[Cost]) -> pd.DataFrame:
    """What every recipe of a run is, says and costs, with its authors' figures beside: a row each.

    Args:
        run: with trained members.
        costs: of each member's file.

    Returns:
        Parameters of what is shipped, out-of-fold accuracy, minutes of training of all folds, size
        and latency of the file; the authors' score and cost, which are of other data.
    """
    cost_of = {cost.name: cost for cost in costs}
    rows = {}
    for name, predictions in run.shipped_predictions().items():
        recipe, published = run.recipe(name), SOLUTIONS[solution_of(name)]
        parameters = sizes(recipe, len(run.store.signs))
        role = "distilled" if "distilled" in parameters else "student"
        logits, label = stacked(predictions), predictions.label.to_numpy()
        rows[name] = {
            "parameters": parameters[role],
            "CV accuracy": accuracy(logits, label),
            "training, min": minutes(run, name),
            "size, MB": cost_of[name].size_mb,
            "latency, ms": cost_of[name].mean_ms,
            f"score {OTHER_DATA}": f"{published.source}: {published.score}",
            f"cost {OTHER_DATA}": published.cost,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def minutes(run: Run, name: str) -> float:
    """How long a recipe was trained, over all folds that are finished."""
    paths = (run.training_folder(name, fold) / "history.csv" for fold in run.about.folds)
    return sum(pd.read_csv(path).seconds.sum() for path in paths if path.is_file()) / 60


def save(costs: Sequence[Cost], path: Path) -> None:
    """Write costs as a table, a row per file."""
    rows = pd.DataFrame([astuple(cost) for cost in costs], columns=[f.name for f in fields(Cost)])
    write_atomically(path, lambda temporary: rows.to_csv(temporary, index=False))


def load(path: Path) -> list[Cost]:
    """What `save` wrote.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected what each member costs, found none; run 03 first")
    return [Cost(*row) for row in pd.read_csv(path).itertuples(index=False)]
