"""How much each member of an ensemble counts, found on signers whom the members have not seen.

- First every member is calibrated: its logits are divided by the temperature under which the right
  signs are most likely. A member that is too sure of itself would otherwise lose its weight over a
  few bold mistakes.
- The weights are those of a mixture: they maximise the likelihood of the out-of-fold predictions.
  The problem is convex, and expectation-maximisation solves it without a step size.
- No weights are scored on the clips that they were fitted to: signers are split into groups, and
  each group is predicted with the weights that were fitted to the other groups. Weights that do
  worse there than equal ones are not used.
- With a single trained fold nothing can be fitted. Different solutions are then blended by the mean
  of their logits: a network that has learnt from smoothed labels is never sure, and would hardly
  count in a mean of probabilities.

Letters: **M** members, **N** clips, **K** signs.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import log_softmax, softmax

from src.common.errors import InputError, check_choice
from src.dataset.folds import Fold
from src.evaluation.tables import accuracy, stacked
from src.recipes import SOLUTIONS, solution_of
from src.recipes.base import Pool

ROUNDS = 200  # of expectation-maximisation; the weights move by less than 1e-3 after some fifty
GROUPS = 4  # of signers, fewer where there are fewer signers
NEGLIGIBLE = 0.01  # a member with less weight is left out of the file
COLDEST, HOTTEST = 0.1, 10.0  # temperatures; a member that is always right would get 0
Tables = Mapping[str, pd.DataFrame]  # member -> its shipped role's out-of-fold predictions
Rule = Literal["fitted", "equal", "logits"]  # logits: the plain mean of logits


@dataclass(frozen=True)
class Vote:
    """How a member counts: its weight, and the temperature that divides its logits."""

    weight: float
    temperature: float = 1.0


Votes = dict[str, Vote]


def rule_for(tables: Tables, asked: str = "") -> Rule:
    """The rule that is asked for, or else a single solution's own rule.

    For several solutions it is the mean of logits if one fold is trained, and else fitted votes.

    Raises:
        InputError: there is no such rule.
    """
    check_choice("ENSEMBLE", asked, ("", *get_args(Rule)))
    if asked:
        return asked
    solutions = {solution_of(name) for name in tables}
    if len(solutions) == 1:
        return "logits" if SOLUTIONS[solutions.pop()].pool == "logits" else "fitted"
    folds = {fold for table in tables.values() for fold in table.fold.unique()}
    return "logits" if len(folds) == 1 else "fitted"


def pool_of(rule: Rule) -> Pool:
    """What the ensemble takes the mean of."""
    return "logits" if rule == "logits" else "probabilities"


def equal_votes(names: Collection[str]) -> Votes:
    """Equal votes: all members have the same weight, and are not calibrated."""
    return {name: Vote(1 / len(names)) for name in names}


def together(tables: Tables, votes: Votes, rule: Rule = "fitted") -> pd.DataFrame:
    """The ensemble's predictions: the weighted mean of its answers, as log probabilities.

    Raises:
        InputError: the members predict different clips.
    """
    tables, of_logits = aligned(tables), pool_of(rule) == "logits"
    answers = {name: stacked(table) / votes[name].temperature for name, table in tables.items()}
    if not of_logits:
        answers = {name: softmax(logits, axis=1) for name, logits in answers.items()}
    mean = sum(votes[name].weight * answer for name, answer in answers.items())
    probability = softmax(mean, axis=1) if of_logits else mean
    logits = list(np.log(np.maximum(probability, 1e-12)).astype(np.float32))
    return next(iter(tables.values())).assign(role="ensemble", logits=logits)


def temperature_of(table: pd.DataFrame) -> float:
    """The temperature under which the right signs are most likely.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
    """
    from scipy.optimize import minimize_scalar  # takes half a second, and trainings do not need it

    logits, label = stacked(table).astype(np.float64), table.label.to_numpy()

    def unlikely(log_temperature: float) -> float:
        cooler = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -cooler[np.arange(len(label)), label].mean()

    bounds = np.log([COLDEST, HOTTEST])
    return float(np.exp(minimize_scalar(unlikely, bounds, bounds=bounds).x))


def aligned(tables: Tables) -> dict[str, pd.DataFrame]:
    """The members' predictions with their clips in one order, that of the first.

    Raises:
        InputError: the members predict different clips.
    """
    first = next(iter(tables.values()))[["fold", "sequence"]]
    ordered = {name: first.merge(table, validate="one_to_one") for name, table in tables.items()}
    for name, table in tables.items():
        if not len(first) == len(table) == len(ordered[name]):
            raise InputError(
                f"{name}: expected predictions of the clips that {next(iter(tables))} predicts, "
                "found others; train both on the same folds"
            )
    return ordered


def mixture_weights(likelihood: Float[np.ndarray, "M N"]) -> Float[np.ndarray, " M"]:
    """The mixture weights (not negative, sum 1) under which the right signs are most likely.

    `likelihood` is the probability that each member gives to the right sign of each clip.
    """
    likelihood = np.maximum(likelihood.astype(np.float64), 1e-12)
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(ROUNDS):
        share = weights[:, None] * likelihood
        weights = (share / share.sum(0)).mean(1)
    return weights


def find_votes(tables: Tables) -> Votes:
    """The most likely temperatures and weights for predictions of the same clips.

    Negligible weights become 0.
    """
    tables = aligned(tables)
    temperatures = {name: temperature_of(table) for name, table in tables.items()}
    right = [
        softmax(stacked(table) / temperatures[name], axis=1)[range(len(table)), table.label]
        for name, table in tables.items()
    ]
    found = mixture_weights(np.stack(right))
    found[found < NEGLIGIBLE] = 0.0
    return {
        name: Vote(float(weight), temperatures[name])
        for name, weight in zip(tables, found / found.sum(), strict=True)
    }


def cross_fitted(tables: Tables, find: Callable[[Tables], Votes] = find_votes) -> pd.DataFrame:
    """The predictions for each group of signers (two or more), with votes found on the others."""
    tables = aligned(tables)
    first = next(iter(tables.values()))
    n_groups = min(GROUPS, first.participant.nunique())
    from sklearn.model_selection import GroupKFold  # takes most of a second, and only this needs it

    pieces = []
    for others, here in GroupKFold(n_groups).split(first, groups=first.participant.to_numpy()):
        votes = find({name: table.iloc[others] for name, table in tables.items()})
        pieces.append(together({name: t.iloc[here] for name, t in tables.items()}, votes))
    return pd.concat(pieces, ignore_index=True)


def calibrated_votes(tables: Tables) -> Votes:
    """Votes with equal weights, and each member's most likely temperature."""
    equal = 1 / len(tables)
    return {name: Vote(equal, temperature_of(table)) for name, table in aligned(tables).items()}


def chosen_votes(tables: Tables, rule: Rule = "fitted") -> Votes:
    """The best of fitted votes, equal votes with calibration, and equal votes without.

    The best have the highest accuracy on signers to whom nothing was fitted; in a tie the earlier
    are taken. With a single signer nothing can be compared, and the votes are equal.
    """
    if rule != "fitted" or next(iter(tables.values())).participant.nunique() == 1:
        return equal_votes(tables)
    ways = (find_votes, calibrated_votes, equal_votes)
    return max(ways, key=lambda find: accuracy(cross_fitted(tables, find)))(tables)


def votes_for(tables: Tables, fold: Fold, rule: Rule = "fitted") -> Votes:
    """Votes of the members that are scored on a fold, chosen on all other folds.

    If no other fold is trained the votes are equal: fitted to the scored clips, they would flatter.
    """
    others = {name: table[table.fold != fold] for name, table in tables.items()}
    if any(table.empty for table in others.values()):
        return equal_votes(tables)
    return chosen_votes(others, rule)


def leave_one_out(tables: Tables, fold: Fold, rule: Rule = "fitted") -> pd.DataFrame:
    """The accuracy on a fold of each member alone, and of the ensemble without this member.

    The last row, "ensemble", has all members, with the votes of the file that is scored.
    """
    rows = {}
    for name, table in tables.items():
        others = {other: t for other, t in tables.items() if other != name}
        without = accuracy(on_fold(others, fold, rule)) if others else float("nan")
        rows[name] = {"alone": accuracy(table[table.fold == fold]), "without": without}
    rows["ensemble"] = {"alone": accuracy(on_fold(tables, fold, rule)), "without": float("nan")}
    return pd.DataFrame.from_dict(rows, orient="index")


def on_fold(tables: Tables, fold: Fold, rule: Rule = "fitted") -> pd.DataFrame:
    """The ensemble's predictions for a fold's clips, with the votes of `votes_for`."""
    here = {name: table[table.fold == fold] for name, table in tables.items()}
    return together(here, votes_for(tables, fold, rule), rule)
