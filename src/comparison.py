"""One table of all recipes of a run: what they are, say, and cost; the authors' figures beside."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from src import evaluation
from src.costs import Cost
from src.recipes import solution_of
from src.recipes.published import PUBLISHED
from src.runs import Run
from src.training.roles import sizes

OTHER_DATA = "published, on other data"


def table(run: Run, costs: Sequence[Cost]) -> pd.DataFrame:
    """A row per member.

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
        recipe, published = run.recipe(name), PUBLISHED[solution_of(name)]
        parameters = sizes(recipe, len(run.store.signs))
        role = "distilled" if "distilled" in parameters else "student"
        logits, label = evaluation.stacked(predictions), predictions.label.to_numpy()
        rows[name] = {
            "parameters": parameters[role],
            "CV accuracy": evaluation.accuracy(logits, label),
            "training, min": minutes(run, name),
            "size, MB": cost_of[name].size_mb,
            "latency, ms": cost_of[name].mean_ms,
            f"score {OTHER_DATA}": f"{published.place}: {published.score}",
            f"cost {OTHER_DATA}": published.cost,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def minutes(run: Run, name: str) -> float:
    """How long a recipe was trained, over all folds that are finished."""
    paths = (run.member(name, fold) / "history.csv" for fold in run.about.folds)
    return sum(pd.read_csv(path).seconds.sum() for path in paths if path.is_file()) / 60
