"""Weights of an ensemble: the optimum of the likelihood, and never judged where it was found."""

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

from src.common.errors import InputError
from src.evaluation import ensemble
from src.evaluation.tables import accuracy

SIGNS = 5


def member(seed: int, skill: float, signers: int = 6, fold: int = 0) -> pd.DataFrame:
    """Out-of-fold predictions: the right sign gets `skill` more than noise."""
    rng = np.random.default_rng(seed)
    label = np.arange(60) % SIGNS
    logits = rng.normal(size=(60, SIGNS)) + skill * np.eye(SIGNS)[label]
    table = pd.DataFrame({"label": label, "sign": label.astype(str), "role": "student"})
    return table.assign(
        sequence=table.index.astype(str),
        participant=[f"p{i % signers}" for i in range(60)],
        fold=fold,
        logits=list(logits.astype(np.float32)),
    )


def two_signs(probability: np.ndarray) -> pd.DataFrame:
    """Predictions of clips by four signers, with this probability of the right of two signs."""
    logits = np.log(np.stack([probability, 1 - probability], 1))
    table = pd.DataFrame({"label": 0, "sign": "a", "role": "student", "logits": list(logits)})
    signers = [f"p{4 * k // len(table)}" for k in table.index]
    return table.assign(sequence=table.index.astype(str), participant=signers, fold=0)


def equal(tables: ensemble.Tables) -> pd.DataFrame:
    return ensemble.together(tables, ensemble.equal_votes(tables))


def test_the_mixture_is_as_likely_as_a_general_optimiser_finds():
    likelihood = np.random.default_rng(0).uniform(0.05, 1, (3, 200))
    found = ensemble.mixture_weights(likelihood)

    def unlikely(weights):
        return -np.log(weights @ likelihood).mean()

    simplex = {"type": "eq", "fun": lambda w: w.sum() - 1}
    start, bounds = np.full(3, 1 / 3), [(0, 1)] * 3
    best = scipy.optimize.minimize(unlikely, start, bounds=bounds, constraints=simplex)
    assert found.sum() == pytest.approx(1)
    assert unlikely(found) <= best.fun + 1e-6
    np.testing.assert_allclose(found, best.x, atol=5e-3)


def test_the_order_of_the_clips_does_not_matter():
    a, b = member(0, 2.0), member(1, 1.0)
    shuffled = b.sample(frac=1, random_state=0)
    assert ensemble.find_votes({"a": a, "b": b}) == ensemble.find_votes({"a": a, "b": shuffled})


@pytest.mark.parametrize("signer", ["p0", "p5"])
def test_the_labels_of_a_signer_do_not_change_its_own_predictions(signer):
    """Selectivity: change what one signer's clips are; only others' predictions may move."""
    a, b = member(0, 2.0), member(1, 1.5)
    wrong = np.where(a.participant == signer, (a.label + 1) % SIGNS, a.label)
    before = ensemble.cross_fitted({"a": a, "b": b}).set_index("sequence")
    after = ensemble.cross_fitted({"a": a.assign(label=wrong), "b": b.assign(label=wrong)})
    after = after.set_index("sequence").loc[before.index]
    moved = (np.stack(before.logits) != np.stack(after.logits)).any(1)
    still = before.participant[~moved]
    assert signer in set(still) and not set(still) & set(before.participant[moved])
    assert before.participant[moved].nunique() >= 4  # of six; some share the signer's group


def test_one_signer_alone_is_blended_equally():
    """What is found on the only signer cannot be told from luck."""
    tables = {"a": member(0, 2.0, signers=1), "b": member(1, 1.0, signers=1)}
    assert ensemble.chosen_votes(tables) == ensemble.equal_votes(tables)


def test_weights_for_a_fold_come_from_the_others():
    here, there = {"a": member(0, 3.0), "b": member(1, 0.0)}, {"a": 0.0, "b": 3.0}
    tables = {
        name: pd.concat([table, member(7, there[name], fold=1).assign(sequence=table.sequence)])
        for name, table in here.items()
    }
    assert ensemble.votes_for(tables, fold=0)["b"].weight > 0.9  # b is good in fold 1
    assert ensemble.votes_for(tables, fold=1)["a"].weight > 0.9
    assert ensemble.votes_for(here, fold=0) == ensemble.equal_votes("ab")


def test_leaving_out_the_good_member_costs_most():
    tables = {"good": member(0, 4.0), "fair": member(1, 1.0), "poor": member(2, 0.0)}
    report = ensemble.leave_one_out(tables, 0)
    assert list(report.index) == ["good", "fair", "poor", "ensemble"]
    assert report.without.idxmin() == "good"
    assert report.alone.idxmin() == "poor"
    # With one fold the file's weights are equal, and so are the table's.
    assert report.alone["ensemble"] == accuracy(equal(tables))
    assert np.isnan(ensemble.leave_one_out({"good": member(0, 4.0)}, 0).without).all()


def test_votes_that_make_the_ensemble_worse_are_not_taken():
    """Each member is right about two of four signers, and a little less sure where it is wrong: the
    votes that three signers lead to are for the member that is wrong about the fourth."""
    right = np.arange(200) < 100
    first, second = (two_signs(np.where(of, 0.9, 0.2)) for of in (right, ~right))
    tables = {"first": first, "second": second}
    assert accuracy(ensemble.cross_fitted(tables)) == 0.0
    assert accuracy(ensemble.cross_fitted(tables, ensemble.calibrated_votes)) == 0.0
    assert accuracy(equal(tables)) == 1.0
    assert ensemble.chosen_votes(tables) == ensemble.equal_votes(tables)


def test_calibration_keeps_a_member_that_is_always_right_and_never_sure():
    """One gives the right sign .95, and .45 to each fifth clip's; the other .6, always. Without
    calibration likelihood leaves the modest one out: .8 x .6 / .95 + .2 x .6 / .45 < 1."""
    bold = two_signs(np.where(np.arange(200) % 5 != 4, 0.95, 0.45))
    tables = {"bold": bold, "modest": two_signs(np.full(200, 0.6))}
    raw = np.exp([np.stack(table.logits)[:, 0] for table in tables.values()])
    np.testing.assert_allclose(ensemble.mixture_weights(raw), [1, 0], atol=1e-9)
    votes = ensemble.chosen_votes(tables)
    assert votes["modest"].weight > 0.9 and votes["modest"].temperature == pytest.approx(0.1, 0.01)
    assert accuracy(ensemble.together(tables, votes)) == 1.0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_logits_that_labels_were_drawn_from_is_found(temperature):
    """Labels drawn from softmax(x) make x a temperature of 1, and 3 x one of 3."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, SIGNS))
    label = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    table = pd.DataFrame({"label": label, "logits": list(temperature * logits)})
    assert ensemble.temperature_of(table) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("asked, rule", [("", "logits"), ("equal", "equal"), ("fitted", "fitted")])
def test_the_26th_places_three_are_blended_by_logits_unless_asked_otherwise(asked, rule):
    three = {name: member(0, 1.0) for name in ("llama_1", "llama_2", "llama_3")}
    assert ensemble.rule_for(three, asked) == rule
    with pytest.raises(InputError, match="ENSEMBLE: expected '' or 'fitted' or 'equal' or 'log"):
        ensemble.rule_for(three, "weighted")


def test_several_solutions_on_a_single_fold_are_blended_by_logits():
    one = {name: member(0, 1.0) for name in ("frame_deberta_a", "frame_deberta_b")}
    assert ensemble.rule_for(one) == "fitted"  # a solution's own
    several = one | {"hand_bert_3": member(0, 1.0)}
    assert ensemble.rule_for(several) == "logits"
    assert ensemble.rule_for(several, "fitted") == "fitted"
    again = member(0, 1.0, fold=1)
    assert ensemble.rule_for({n: pd.concat([t, again]) for n, t in several.items()}) == "fitted"


def test_a_member_that_is_never_sure_counts_among_logits():
    """The bold one is wrong about half of the clips, by little; there the modest one is right."""
    right = np.arange(200) < 100
    bold = two_signs(np.where(right, 0.95, 0.45))
    modest = two_signs(np.where(right, 0.45, 0.56))
    sure = bold.assign(logits=[np.append(logits, -9.0) for logits in bold.logits])
    flat = modest.assign(logits=[np.append(logits, 0.0) for logits in modest.logits])
    tables = {"bold": sure, "modest": flat}
    votes = ensemble.equal_votes(tables)
    assert accuracy(ensemble.together(tables, votes, "logits")) == 1.0
    assert accuracy(ensemble.together(tables, votes, "fitted")) == 0.5
