"""What each member of the file costs, alone and in the ensemble, and tables of these costs.

Costs are measured on files, not added up, because members share the first steps that are equal.
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from src.clips import RawClip
from src.common.errors import InputError
from src.common.marks import Mark, digest_of
from src.evaluation.tables import accuracy
from src.recipes import SOLUTIONS, solution_of
from src.runs import Run
from src.submission.assemble import scored_fold
from src.submission.outlook import parameters
from src.tflite.export import Exported, ExportOptions, write_tflite
from src.tflite.members import Member
from src.tflite.scorer import LIMIT_MB, LIMIT_MS, Model, timed

OTHER_DATA = "published, on other data"
REPEATS = 3  # passes over all clips; the fastest counts, as other work on the machine slows some


@dataclass(frozen=True)
class Cost:
    """What one file costs."""

    name: str  # of the member, or of the ensemble
    size_mb: float  # in 10^6 bytes
    mean_ms: float  # mean latency of a clip on one thread

    def __str__(self) -> str:
        return f"{self.name} {self.size_mb:.1f} MB {self.mean_ms:.1f} ms"


def measure(name: str, path: Path, clips: Sequence[RawClip]) -> Cost:
    """Measure a file's size, and its latency on these raw clips."""
    model = Model(path)
    timed(model, clips[0])  # the first call allocates memory
    passes = [np.mean([timed(model, frames)[1] for frames in clips]) for _ in range(REPEATS)]
    return Cost(name, model.size_mb, float(min(passes)))


def of_members(
    members: Sequence[Member], folder: Path, options: ExportOptions, clips: Sequence[RawClip]
) -> list[Cost]:
    """Write each member as a file of its own, `<folder>/<name>.tflite`, and measure it."""
    files = {m.name: write_tflite([m], folder / f"{m.name}.tflite", options) for m in members}
    return [measure(name, file.path, clips) for name, file in files.items()]


def without_each(exported: Exported, folder: Path, clips: Sequence[RawClip]) -> list[Cost]:
    """The cost of an ensemble's file without each of its members; these files are not kept.

    They are made of the networks as the whole file has them: none is translated again.
    """
    costs, path = [], folder / "without.tflite"
    translated = list(zip(exported.members, exported.graph.cores, strict=True))
    for member in exported.members:
        members, cores = zip(*(each for each in translated if each[0] is not member), strict=True)
        write_tflite(members, path, exported.options, cores)
        costs.append(measure(member.name, path, clips))
        path.unlink()
    return costs


def check(ensemble: Cost, members: Sequence[Cost]) -> None:
    """Refuse an ensemble over 40 MB or 100 ms with an InputError that lists its members' costs."""
    if ensemble.size_mb >= LIMIT_MB or ensemble.mean_ms >= LIMIT_MS:
        raise InputError(
            f"ensemble: expected less than {LIMIT_MB:g} MB and {LIMIT_MS:g} ms, found {ensemble}; "
            f"leave a member out by MEMBERS: {', '.join(map(str, members))}"
        )


def ensemble_table(
    alone: Sequence[Cost], without: Sequence[Cost], whole: Cost, accuracies: pd.DataFrame
) -> pd.DataFrame:
    """Accuracy, size and latency of each member, of the ensemble, and of leaving each one out.

    `accuracies` is what `ensemble.leave_one_out` returns; for a single member `without` is empty.
    """
    sides = {}
    for side, costs in {"alone": [*alone, whole], "without": without}.items():
        rows = {cost.name: (accuracies[side][cost.name], *astuple(cost)[1:]) for cost in costs}
        columns = ["accuracy", "size, MB", "latency, ms"]
        sides[side] = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return pd.concat(sides, axis=1)


def minutes(run: Run, name: str) -> float:
    """Minutes that a recipe's finished folds took, and those of the run's recipes it builds on."""
    trainings = product(_with_all_before(run, name), run.about.folds)
    histories = (run.training_folder(*training) / "history.csv" for training in trainings)
    return sum(pd.read_csv(path).seconds.sum() for path in histories if path.is_file()) / 60


def _with_all_before(run: Run, name: str) -> set[str]:
    recipe = run.recipe(name)
    before = {*recipe.distil.teachers, recipe.start} & {*run.recipes}
    return {name}.union(*(_with_all_before(run, other) for other in before))


def recipe_table(run: Run, costs: Sequence[Cost]) -> pd.DataFrame:
    """A row per trained recipe of a run, with its authors' score and cost on other data.

    The other columns: parameters of the shipped network, accuracy on held-out clips, `minutes` of
    training, size and latency of the recipe's file.
    """
    cost_of = {cost.name: cost for cost in costs}
    rows = {}
    for name, predictions in run.shipped_predictions().items():
        published = SOLUTIONS[solution_of(name)]
        rows[name] = {
            "parameters": parameters(run, name),
            "held-out accuracy": accuracy(predictions),
            "training, min": minutes(run, name),
            "size, MB": cost_of[name].size_mb,
            "latency, ms": cost_of[name].mean_ms,
            f"score {OTHER_DATA}": f"{published.source}: {published.score}",
            f"cost {OTHER_DATA}": published.cost,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def save(run: Run, costs: Sequence[Cost], weights: str) -> Path:
    """Write what each member costs alone with these WEIGHTS, and return members/costs.json."""
    return _mark(run, weights).write([asdict(cost) for cost in costs])


def load(run: Run, weights: str) -> list[Cost]:
    """Read what `save` wrote.

    Raises:
        InputError: nothing was saved, or only costs of other weights or of other trainings.
    """
    mark = _mark(run, weights)
    if not mark.is_finished:
        raise InputError(
            f"{mark.path}: expected what each member of this run costs, found "
            f"{', '.join(mark.changes) or 'none'}; run 03 first, with WEIGHTS={weights}"
        )
    return [Cost(**cost) for cost in mark.result]


def _mark(run: Run, weights: str) -> Mark:
    fold = scored_fold(run)
    ships = (recipe.name for recipe in run.recipes.values() if recipe.ships)
    trainings = {name: digest_of(run.training_mark(name, fold).made_from) for name in ships}
    return Mark(run.folder / "members" / "costs.json", {"WEIGHTS": weights, "trainings": trainings})
