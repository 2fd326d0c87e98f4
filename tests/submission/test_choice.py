"""Which members go into the file: the best that fit, chosen on other folds than the scored one."""

from dataclasses import replace
from itertools import combinations

import pandas as pd
import pytest

from src.common.errors import InputError
from src.evaluation import ensemble
from src.evaluation.tables import accuracy
from src.submission import choice
from src.submission.costs import Cost
from tests.evaluation.test_ensemble import member

SIZES = {"a": 30.0, "b": 15.0, "c": 9.0, "d": 4.0}
COSTS = [Cost(name, size, 5.0) for name, size in SIZES.items()]


def tables(skills: dict[str, float], fold: int = 0) -> dict[str, pd.DataFrame]:
    return {name: member(k, skill, fold=fold) for k, (name, skill) in enumerate(skills.items())}


def two_folds(first: dict[str, float], second: dict[str, float]) -> dict[str, pd.DataFrame]:
    """Members with one skill on fold 0 and another on fold 1."""
    both = zip(tables(first).items(), tables(second, fold=1).values(), strict=True)
    return {name: pd.concat([one, other], ignore_index=True) for (name, one), other in both}


@pytest.mark.parametrize("rule", ["equal", "logits", "fitted"])
def test_every_choice_that_fits_is_there_with_its_accuracy(rule):
    """Against the ensemble of each subset, made one by one."""
    trained = tables({"a": 1.0, "b": 2.0, "c": 1.5, "d": 0.5})
    found = choice.choices(trained, COSTS, rule)
    votes = (ensemble.calibrated_votes if rule == "fitted" else ensemble.equal_votes)(trained)
    expected = pd.DataFrame(columns=["accuracy", "size, MB"], dtype=float)
    for some in (names for k in range(1, 5) for names in combinations(SIZES, k)):
        if sum(SIZES[name] for name in some) < 40:
            both = ensemble.together({name: trained[name] for name in some}, votes, rule)
            size = sum(SIZES[name] for name in some)
            expected.loc[" + ".join(some)] = (accuracy(both), size)
    assert "b + c + d" in expected.index and "a + b" not in expected.index
    pd.testing.assert_frame_equal(found[[*expected]], expected, check_like=True)
    assert found["size, MB"].is_monotonic_increasing


def test_a_choice_over_the_time_limit_is_not_there():
    slow = [Cost("a", 1.0, 60.0), Cost("b", 1.0, 60.0), Cost("c", 1.0, 30.0)]
    trained = tables({"a": 1.0, "b": 1.0, "c": 1.0})
    assert {*choice.choices(trained, slow, "equal").index} == {"a", "b", "c", "a + c", "b + c"}


def test_what_is_worth_its_size_is_better_than_all_that_is_smaller():
    every = pd.DataFrame(
        {"accuracy": [0.5, 0.4, 0.6, 0.6, 0.9], "size, MB": [1.0, 2.0, 3.0, 4.0, 5.0]},
        index=["a", "b", "c", "d", "e"],
    )
    assert [*choice.worth_their_size(every).index] == ["a", "c", "e"]


def test_all_members_go_in_where_they_fit():
    trained = tables({"b": 1.0, "c": 9.0, "d": 0.0})
    assert [*choice.chosen(trained, COSTS[1:], 0, "equal")] == ["b", "c", "d"]


def test_the_best_that_fit_are_chosen_and_the_scored_fold_has_no_say(capsys):
    """On fold 0, which is scored, `a` is the best by far; on fold 1 it knows nothing."""
    good, bad = {"a": 0.0, "b": 3.0, "c": 0.5, "d": 3.0}, {"a": 9.0, "b": 0.0, "c": 0.0, "d": 0.0}
    trained = two_folds(bad, good)
    chosen = choice.chosen(trained, COSTS, 0, "equal")
    assert [*chosen] == ["b", "d"]
    assert all(chosen[name] is trained[name] for name in chosen)
    said = capsys.readouterr().out
    assert "a + b + c + d 58.0 MB 20.0 ms, and the competition takes less than 40 MB" in said
    assert "b + d is best on the folds that the file is not scored on" in said
    assert "a" in choice.chosen(two_folds(good, bad), COSTS, 0, "equal")


def test_nothing_is_chosen_on_the_scored_fold_or_among_members_too_slow_alone():
    """Then all stay, and what writes and measures the file refuses it with everybody's cost."""
    trained = tables(dict.fromkeys(SIZES, 1.0))
    assert [*choice.chosen(trained, COSTS, 0, "equal")] == [*SIZES]
    slow = [replace(cost, mean_ms=100.0) for cost in COSTS]
    assert [*choice.chosen(trained, slow, 1, "equal")] == [*SIZES]
    assert choice.worth_their_size(choice.choices(trained, slow, "equal")).empty


def test_the_user_chooses_by_name():
    trained = tables(dict.fromkeys(SIZES, 1.0))
    asked = choice.chosen(trained, COSTS, 0, "equal", " d,b ")
    assert [*asked] == ["d", "b"]
    with pytest.raises(InputError, match=r"expected some of a, b, c, d, .* found 'x', ''"):
        choice.chosen(trained, COSTS, 0, "equal", "a,x,")
