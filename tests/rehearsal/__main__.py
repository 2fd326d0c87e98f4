"""Rehearse the real run: `make rehearsal`, or with other sizes

    python -m tests.rehearsal --clips 9400 --overrides="--epochs 2 --steps 10 ..."

- Notebooks 01 to 04 run with PROFILE=full, all folds and the fit on everything, at the published
  sizes; the steps are cut, and each training is tested once. Its accuracy says nothing.
- It is killed twice, in the middle of the store and in the middle of a training, and goes on.
- What each notebook took is printed as a table, and written to RUN_DIR/rehearsal.md.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import tyro

from src.common.files import write_atomically
from src.common.paths import anchored
from tests.rehearsal.folder import CLIPS, SIGNS, write_competition
from tests.rehearsal.measure import Measured, disk, measured

# Two epochs, so that a training can be killed after the first.
CUT = "--epochs 2 --steps 12 --batch-size 32 --soup-epochs 1"
NOTEBOOKS = ("01", "02", "03", "04")
SOME_SHARDS = 4
Condition = Callable[[], bool]


def rehearse(
    folder: str = "input/rehearsal",
    run_dir: str = "logs/rehearsal",
    clips: int = CLIPS,
    signs: int = SIGNS,
    recipes: str = "frame_deberta",
    overrides: str = CUT,
    limit: int = 2_000,
    second_route: str = "none",
) -> None:
    """Run 01 to 04 on a synthetic competition, kill them twice, and say what they took.

    Args:
        folder: of the synthetic competition.
        run_dir: of the run, which is deleted first, with its store.
        clips: of the competition.
        signs: of the competition.
        recipes: what is trained.
        overrides: values of the recipes that are changed.
        limit: clips that 04 scores; 0 = all.
        second_route: which members climb the ladder by ONNX in 04: none, one, all.
    """
    data, run, stores = anchored(folder), anchored(run_dir), anchored("input/stores")
    for old in (run, *stores.glob(f"{data.name}-*")):
        shutil.rmtree(old, ignore_errors=True)
    run.mkdir(parents=True)
    write_competition(data, clips, signs)
    values = {
        "PROFILE": "full", "DATA": data, "RUN_DIR": run, "RECIPES": recipes,
        "OVERRIDES": overrides, "TESTS": 1, "LIMIT": limit, "SECOND_ROUTE": second_route,
    }  # fmt: skip
    before = disk(stores)
    kills = {"01": lambda: _in_the_store(stores, data), "02": lambda: _in_a_training(run)}
    rows = {}
    for number in NOTEBOOKS:
        found = [_run(number, values, run, kills.get(number))]
        if number in kills:
            assert found[0].code == -9, f"{number} ended before it was killed: {found[0]}"
            found.append(_run(number, values, run, None))
        assert found[-1].code == 0, f"{number} failed; see {run / 'rehearsal.log'}"
        rows[number] = {
            "minutes": sum(part.seconds for part in found) / 60,
            "of them before the kill": found[0].seconds / 60 if number in kills else None,
            "peak memory, GiB": max(part.memory for part in found),
            "disk so far, GiB": disk(run, stores) - before,
        }
        print(number, rows[number], flush=True)
    table = pd.DataFrame(rows).T.round(2).to_markdown()
    write_atomically(run / "rehearsal.md", lambda path: path.write_text(table + "\n"))
    print(f"{clips:,} clips of {signs} signs, {recipes}, {overrides}\n\n{table}")


def _run(number: str, values: dict, run: Path, kill_when: Condition | None) -> Measured:
    given = [word for name, value in values.items() for word in ("-p", name, str(value))]
    words = [sys.executable, "-m", "src.notebooks", number, *given]
    return measured(words, run / "rehearsal.log", kill_when)


def _in_the_store(stores: Path, data: Path) -> bool:
    """True once the store has some shards, and is not finished."""
    return len(list(stores.glob(f"{data.name}-*/shards/*.npy"))) >= SOME_SHARDS


def _in_a_training(run: Path) -> bool:
    """True once one training is finished, and another is in the middle."""
    return bool(list(run.glob("*/*/trained.json"))) and bool(list(run.glob("*/*/last.pt")))


if __name__ == "__main__":
    tyro.cli(rehearse)
