"""Which members go into the file, where all of them together would be too large or too slow.

- Every choice of members that the competition would take is tried on clips that the members have
  not seen; the file is then judged on other signers than the choice was made on.
- Sizes and latencies are added up. Members share a few steps, so the file costs no more than that.

Letters: **N** clips, **K** signs.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from src.common.errors import InputError
from src.common.news import say
from src.dataset.folds import Fold
from src.evaluation import ensemble
from src.evaluation.ensemble import Rule, Tables
from src.evaluation.tables import stacked
from src.submission.costs import Cost
from src.tflite.scorer import LIMIT_MB, LIMIT_MS

COLUMNS = ["accuracy", "size, MB", "latency, ms"]


def chosen(
    tables: Tables, costs: Sequence[Cost], fold: Fold, rule: Rule, asked: str = ""
) -> dict[str, pd.DataFrame]:
    """The predictions of the members that go into the file that is scored on a fold.

    These are the members `asked` for (names separated by commas), or else all of them if they fit,
    or else those of the choice that is best on all other folds. Without another trained fold all go
    in, because a choice would flatter the file; `write_tflite` then refuses it if it is too large.

    Raises:
        InputError: there is no such member.
    """
    if asked:
        return {name: tables[name] for name in _names(asked, tables)}
    whole = _sum([cost for cost in costs if cost.name in tables])
    others = {name: table[table.fold != fold] for name, table in tables.items()}
    if _fits(whole) or any(table.empty for table in others.values()):
        return dict(tables)
    every = choices(others, costs, rule)
    if every.empty:  # each is too slow alone, which `costs.check` refuses
        return dict(tables)
    best = every.accuracy.idxmax()
    say(
        f"{whole}, and the competition takes less than {LIMIT_MB:g} MB and {LIMIT_MS:g} ms (with "
        f"WEIGHTS=int8 a file has half the size). Of {len(every)} choices that fit, {best} is best "
        "on the folds that the file is not scored on"
    )
    return {name: tables[name] for name in best.split(" + ")}


def _names(asked: str, tables: Tables) -> list[str]:
    names = [name.strip() for name in asked.split(",")]
    if unknown := [name for name in names if name not in tables]:
        raise InputError(
            f"MEMBERS: expected some of {', '.join(tables)}, separated by commas, found "
            f"{', '.join(map(repr, unknown))}"
        )
    return names


def choices(tables: Tables, costs: Sequence[Cost], rule: Rule) -> pd.DataFrame:
    """Every choice of members that fits, from the smallest to the largest.

    A row is named after its members, as "a + b", and has their accuracy together, with equal
    weights, and the sums of their sizes and latencies.
    """
    tables = ensemble.aligned(tables)
    votes = (ensemble.calibrated_votes if rule == "fitted" else ensemble.equal_votes)(tables)
    answers = {name: stacked(table) / votes[name].temperature for name, table in tables.items()}
    if ensemble.pool_of(rule) == "probabilities":
        answers = {name: softmax(logits, axis=1) for name, logits in answers.items()}
    label = next(iter(tables.values())).label.to_numpy()
    rows = {
        whole.name: (float((total.argmax(1) == label).mean()), whole.size_mb, whole.mean_ms)
        for whole, total in _sums([cost for cost in costs if cost.name in tables], answers)
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
    return table.sort_values("size, MB")


def _sums(
    costs: Sequence[Cost],
    answers: dict[str, np.ndarray],
    before: Sequence[Cost] = (),
    sum_before: np.ndarray | float = 0.0,
) -> Iterator[tuple[Cost, np.ndarray]]:
    """The sums, over every choice that fits, of costs and of answers (N,K).

    Each choice adds one member to a smaller choice, and a choice that is too large is not enlarged.
    """
    for k, cost in enumerate(costs):
        members = (*before, cost)
        whole = _sum(members)
        if _fits(whole):
            total = sum_before + answers[cost.name]
            yield whole, total
            yield from _sums(costs[k + 1 :], answers, members, total)


def worth_their_size(choices: pd.DataFrame) -> pd.DataFrame:
    """Those of `choices` that are better than every smaller one."""
    best_so_far = choices.accuracy.cummax().shift(fill_value=-1.0)
    return choices[choices.accuracy > best_so_far]


def _sum(costs: Sequence[Cost]) -> Cost:
    return Cost(
        " + ".join(cost.name for cost in costs),
        sum(cost.size_mb for cost in costs),
        sum(cost.mean_ms for cost in costs),
    )


def _fits(cost: Cost) -> bool:
    return cost.size_mb < LIMIT_MB and cost.mean_ms < LIMIT_MS
