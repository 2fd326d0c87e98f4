"""Held-out accuracy on real clips, several seeds: the table of docs/results.md.

    python -m tests.benchmarks.real_clips --recipes frame_deberta --seeds 3

- A split holds out sources of a folder under ../shared/data; nothing is chosen on them: the cpu
  profile's values, the last epoch. A recipe that ships its best epoch ships its last one here.
- Scored are the held-out clips whose sign another source shows in training.
- Every training is a command of its own on one core, two at a time; a finished one is kept.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import tyro

from src.common.paths import anchored
from src.dataset import store as stores
from src.evaluation import baselines
from src.evaluation.ensemble import on_fold, rule_for
from src.evaluation.tables import accuracy
from src.recipes import choose, landmark_union, solution_of
from src.runs import About, Run
from tests.benchmarks.table import Table

DATA = Path("../shared/data")
PROFILE = "cpu"
FOLD = 0
TOGETHER = "all together"  # but for the pupil, which has learnt from them
PUPIL = "pupil"
SMALL = (("pupil", "hand_bert"), ("conv_transformer", "hand_bert"))  # together still small files
NEAREST = "nearest neighbour on aligned hands"


@dataclass(frozen=True)
class Split:
    """Which sources of which folder are held out."""

    data: str
    hold_out: tuple[str, ...]

    @property
    def name(self) -> str:
        """For tables and folders."""
        data = Path(self.data).name
        return f"{data} without {' and '.join(self.hold_out)}" if self.hold_out else data


SPLITS = (
    Split("wlasl50", ("9005", "9006")),
    Split("webcam34", ("8001",)),
    Split("webcam34", ("8003",)),
)


def prepared(split: Split, seed: int, recipes: str) -> Run:
    """The run of a split and a seed, as 01_preparation makes it."""
    data = anchored(str(DATA / split.data))
    store = stores.build(data, anchored("input/stores"), landmark_union())
    # A choice of epochs would be made on the clips that are scored.
    chosen = [
        replace(recipe, stop=None, shipped="student") if recipe.shipped == "best" else recipe
        for recipe in choose(recipes, PROFILE)
    ]
    names = tuple(recipe.name for recipe in chosen)
    about = About(PROFILE, str(data), str(store.folder), seed, split.hold_out, names, folds=(FOLD,))
    folder = anchored("logs/real_clips") / split.name.replace(" ", "_") / f"seed{seed}"
    return Run.create(folder, about, chosen)


def trained(run: Run) -> dict[str, float]:
    """Train all recipes of a run, one after the other; returns minutes of a core per recipe."""
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    minutes = {}
    for name in run.recipes:
        taken = run.training_folder(name, FOLD) / "minutes.json"
        if not run.training_mark(name, FOLD).is_finished:
            command = [sys.executable, "-m", "src.training.train", str(run.folder), name]
            training = subprocess.Popen(command, env=alone, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(training.pid, 0)
            if status:
                raise SystemExit(f"{' '.join(command)} failed; what it said is above")
            # The processor's time, not the clock's: other programs may run beside this one.
            taken.write_text(json.dumps((usage.ru_utime + usage.ru_stime) / 60))
        minutes[name] = json.loads(taken.read_text())
    return minutes


def all_trained(
    splits: Iterable[Split], seeds: int, recipes: str, jobs: int = 2
) -> dict[tuple[Split, int], tuple[Run, dict[str, float]]]:
    """The runs of every split and seed, with the minutes of their trainings, `jobs` at a time."""
    cases = list(itertools.product(splits, range(seeds)))
    runs = [prepared(split, seed, recipes) for split, seed in cases]
    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(cases, zip(runs, pool.map(trained, runs), strict=True), strict=True))


def costs(minutes: dict[str, float]) -> dict[str, float]:
    """Minutes of each solution, its teachers and stages included, and of all together."""
    solutions = pd.Series(minutes).groupby(solution_of).sum().to_dict()
    together = sum(own for name, own in minutes.items() if name != PUPIL)
    return minutes | solutions | {TOGETHER: together}


def accuracies(run: Run) -> dict[str, float]:
    """Accuracy of each member, of each solution, and of all together, as a file has them."""
    known = set(run.clips.label[run.clips.fold != FOLD])
    tables, files = run.shipped_predictions(), contents(run)
    members = {name: [name] for name in tables if files[solution_of(name)] != [name]}
    found = {}
    for name, inside in (members | files).items():
        of = {member: tables[member] for member in inside}
        table = on_fold(of, FOLD, rule_for(of))
        found[name] = accuracy(table[table.label.isin(known)])
    return found


def contents(run: Run) -> dict[str, list[str]]:
    """The members of each solution, of all solutions but the pupil, and of small files."""
    files: dict[str, list[str]] = {}
    for recipe in (recipe for recipe in run.recipes.values() if recipe.ships):
        files.setdefault(solution_of(recipe.name), []).append(recipe.name)
    taken = [name for of, names in files.items() if of != PUPIL for name in names]
    several = {TOGETHER: taken} if len(files) > 1 else {}
    for pair in SMALL:
        if set(pair) <= set(files):
            several[" and ".join(pair)] = [name for of in pair for name in files[of]]
    return files | several


def nearest_neighbour(run: Run) -> float:
    """Of the same clips, on aligned hands."""
    store, clips = run.store, run.clips
    known = clips.label.isin(clips.label[clips.fold != FOLD])
    train, test = clips[clips.fold != FOLD], clips[(clips.fold == FOLD) & known]
    frames = ((store.whole_frames(i) for i in part.index) for part in (train, test))
    label = train.label.to_numpy()
    found = baselines.nearest_neighbour(next(frames), label, next(frames), baselines.aligned_hands)
    return float((found == test.label.to_numpy()).mean())


def main(recipes: str = "frame_deberta", seeds: int = 3, jobs: int = 2) -> None:
    """Train on every split with every seed, print and keep the table.

    Args:
        recipes: as RECIPES.
        seeds: how many.
        jobs: trainings at a time, a core each.
    """
    found = pd.DataFrame(
        [
            (name, split.name, accuracy, costs(minutes).get(name))
            for (split, _), (run, minutes) in all_trained(SPLITS, seeds, recipes, jobs).items()
            for name, accuracy in (accuracies(run) | {NEAREST: nearest_neighbour(run)}).items()
        ],
        columns=["network", "split", "accuracy", "minutes"],
    )
    Table(
        name="real_clips",
        title=f"Held-out accuracy on real clips, {seeds} seeds: mean (lowest to highest)",
        rows=[
            {"network": name}
            | {split: spread(cell.accuracy) for split, cell in of.groupby("split")}
            | {"mean of the splits": of.groupby("split").accuracy.mean().mean()}
            | {"minutes of one core": spread(of.minutes, 1)}
            for name, of in found.groupby("network", sort=False)
        ],
        limit="1; with words that are signed in more than one way, less",
    ).publish()


def spread(values: pd.Series, digits: int = 3) -> str:
    """Mean, lowest and highest."""
    if values.isna().all():
        return ""
    mean, low, high = (f"{v:.{digits}f}" for v in (values.mean(), values.min(), values.max()))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    tyro.cli(main)
