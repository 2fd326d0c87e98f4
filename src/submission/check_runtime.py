"""Run a finished run's model.tflite in the competition's own runtime.

    python -m src.submission.check_runtime logs/sample

Prints a table, writes runtime.json beside the report, and fails if the answers differ or take too
long. Without a Python 3.9 it says so and checks nothing.
"""

import sys

import tyro

from src.common.environments import Unavailable
from src.common.errors import InputError, reporting
from src.common.files import write_json
from src.common.paths import anchored
from src.runs import Run
from src.submission.assemble import held_out_clips, scored_fold, some_clips
from src.tflite.parity import edge_clips
from src.tflite.runtime import Comparison, compare, environment


def check(run: Run) -> Comparison:
    """Compare the runtimes on clips that the scored fold holds out, and on the edge cases.

    Raises:
        InputError: the run has no file yet, or a runtime is `Unavailable` or cannot run the file.
    """
    path = run.folder / "model.tflite"
    if not path.is_file():
        raise InputError(f"{path}: expected the run's file, found none; run 04 first")
    competition = environment()
    longest = max(recipe.max_len for recipe in run.recipes.values() if recipe.ships)
    recorded = some_clips(run, held_out_clips(run, scored_fold(run)))
    held_out = {f"held-out clip {i + 1}": clip for i, clip in enumerate(recorded)}
    return compare(path, held_out | edge_clips(longest), tuple(held_out), competition)


def main(run: tyro.conf.Positional[str]) -> int:
    """Compare today's TFLite interpreter with the competition's on a run's model.tflite.

    Args:
        run: the run's folder.
    """
    opened = Run.open(anchored(run))
    report = opened.folder / "runtime.json"
    try:
        comparison = check(opened)
    except Unavailable as reason:
        write_json(report, {"passed": None, "skipped": str(reason)})
        print(f"skipped: {reason}")
        return 0
    write_json(report, comparison.facts())
    print(f"{opened.folder / 'model.tflite'}\n{comparison}\n{report}")
    return 0 if comparison.passed else 1


if __name__ == "__main__":
    with reporting():
        sys.exit(tyro.cli(main))
