"""Time to accuracy: seconds of one core until held-out clips are recognised so well.

    python -m tests.benchmarks time_to_accuracy

- The trainings are those of `real_clips`, seed 0, and the same on the synthetic sample; finished
  ones are not trained again. A training is tested ten times on its way, so times are as coarse.
- A solution's trainings run one after the other; counted is all that came before, and the first
  test of any of its networks, its own averages included, that reaches the bar.
- Seconds are the clock's, of a training on a core of its own, two at a time, tests included.
"""

import pandas as pd

from src.recipes import solution_of
from src.runs import Run
from tests.benchmarks import data
from tests.benchmarks.real_clips import FOLD, SPLITS, Split, all_trained
from tests.benchmarks.table import Table

RECIPES = "frame_deberta,hand_bert,conv_transformer,llama,hierarchical"
HELD_OUT = (SPLITS[0], SPLITS[2], Split(str(data.SAMPLE), ()))
BARS = (0.3, 0.4, 0.5, 0.6, 0.8)  # accuracies


def progress(run: Run) -> dict[str, list[tuple[float, float]]]:
    """Per solution: seconds so far and the best accuracy of that test, in the order of training."""
    clips = run.clips
    held_out = clips[clips.fold == FOLD]
    known = held_out.label.isin(clips.label[clips.fold != FOLD]).mean()
    solutions: dict[str, list[tuple[float, float]]] = {}
    before: dict[str, float] = {}
    for name in run.recipes:
        solution = solution_of(name)
        history = pd.read_csv(run.training_folder(name, FOLD) / "history.csv")
        seconds = before.get(solution, 0.0) + history.seconds.cumsum()
        before[solution] = float(seconds.iloc[-1])
        columns = [c for c in history if c.endswith("_accuracy") and "_train_" not in c]
        # A sign that is in no training clip is never answered: count the others alone.
        accuracy = history[columns].max(axis=1) / known
        tests = zip(seconds[accuracy.notna()], accuracy.dropna(), strict=True)
        solutions.setdefault(solution, []).extend(tests)
    return solutions


def row(split: Split, solution: str, tests: list[tuple[float, float]]) -> dict:
    """One solution's row: when a test first reached each bar, None if none did."""
    reached = {
        f"{bar:.0%}": min((s for s, accuracy in tests if accuracy >= bar), default=None)
        for bar in BARS
    }
    named = {"held out of": split.name, "solution": solution}
    best = max(accuracy for _, accuracy in tests)
    return named | reached | {"best": best, "whole training": tests[-1][0]}


def run() -> None:
    """Train what is not trained yet, read the histories, print."""
    data.sample()
    rows = [
        row(split, solution, tests)
        for (split, _), (of, _) in all_trained(HELD_OUT, 1, RECIPES).items()
        for solution, tests in progress(of).items()
    ]
    Table(
        name="time_to_accuracy",
        title="Seconds of one core until an accuracy on held-out signers is reached, seed 0",
        rows=rows,
        limit="the first test, a tenth of a training",
        notes=["empty: no test reached it"],
    ).publish()
