"""Tables of predictions, on a few clips whose answers are known by heart."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from src.common.errors import InputError
from src.evaluation import ensemble, tables
from src.evaluation.ensemble import Vote

SIGNS = ["bird", "cat", "dog"]
# Per clip: participant, fold, sign, and the logits of two roles.
CLIPS = [
    ("p", 0, 0, (3, 0, 0), (1, 2, 0)),  # right; taken for a cat
    ("p", 0, 1, (4, 1, 0), (0, 9, 1)),  # taken for a bird, surely; right
    ("q", 1, 1, (0, 1, 0), (0, 2, 1)),  # right; right
    ("q", 1, 2, (1, 0, 0), (0, 0, 1)),  # taken for a bird; right
]


@pytest.fixture
def predictions() -> pd.DataFrame:
    rows = [
        {
            "sequence": str(n), "participant": participant, "sign": SIGNS[label], "label": label,
            "fold": fold, "role": role, "logits": np.array(logits, np.float32),
        }
        for role, which in (("student", 0), ("soup", 1))
        for n, (participant, fold, label, *both) in enumerate(CLIPS)
        for logits in [both[which]]
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def student(predictions) -> pd.DataFrame:
    return predictions[predictions.role == "student"]


def test_accuracy_of_every_role_and_fold(predictions):
    found = tables.by_role(predictions)
    assert list(found.index) == ["student", "soup"]  # in the table's order
    assert list(found.columns) == ["accuracy", "top5", "fold0", "fold1", "clips"]
    assert found.to_numpy().tolist() == [[0.5, 1, 0.5, 0.5, 4], [0.75, 1, 0.5, 1, 4]]


def test_the_five_likeliest_count_as_top5():
    logits = [np.arange(7.0, dtype=np.float32)] * 2
    clips = pd.DataFrame({"logits": logits, "label": [2, 1]})  # the fifth and the sixth likeliest
    assert tables.accuracy(clips, top=5) == 0.5 and tables.accuracy(clips) == 0


def test_accuracy_within_groups(student):
    assert tables.by_group(student, "participant").to_dict() == {"p": 0.5, "q": 0.5}
    assert tables.by_group(student, "sign").to_dict() == {"bird": 1.0, "cat": 0.5, "dog": 0.0}


def test_signs_worth_recording_are_the_worst_recognised_and_least_recorded(student):
    learnt = [("p", 1), ("r", 2), ("p", 0)]
    more = pd.DataFrame(
        [(who, SIGNS[label], label) for who, label in learnt],
        columns=["participant", "sign", "label"],
    )
    clips = pd.concat([student[["participant", "sign", "label"]], more])
    found = tables.worth_recording(student, clips)
    assert list(found.index) == ["dog", "cat", "bird"]
    assert found.clips.tolist() == [2, 3, 2] and found.signers.tolist() == [2, 2, 1]
    assert found.accuracy.tolist() == [0.0, 0.5, 1.0]
    assert found.taken_for.tolist() == ["bird", "bird", ""]
    only = clips[clips.sign == "cat"]  # the answer to its only mistake is a sign without clips
    assert tables.worth_recording(student, only).taken_for.tolist() == [""]
    untested = pd.DataFrame([("p", "emu", 3)], columns=more.columns)
    found = tables.worth_recording(student, pd.concat([clips, untested]))
    assert list(found.index) == ["dog", "cat", "bird", "emu"]
    assert np.isnan(found.accuracy["emu"]) and found.taken_for["emu"] == ""


def test_confusions_are_counted_by_sign_and_answer(student):
    counts = tables.confusion_counts(student, classes=3)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    more = np.add(counts, [[5, 0, 2], [0, 0, 0], [0, 0, 0]])
    # Most clips first; what is right is no confusion, however often.
    expected = [["bird", "dog", 2], ["cat", "bird", 1], ["dog", "bird", 1]]
    assert tables.worst_pairs(more, SIGNS).to_numpy().tolist() == expected
    assert len(tables.worst_pairs(counts, SIGNS, most=1)) == 1
    assert tables.worst_pairs(np.diag([3, 4, 5]), SIGNS).empty


def test_mistakes_are_listed_surest_first(student):
    found = tables.mistakes(student, SIGNS)
    assert found.sequence.tolist() == ["1", "3"] and found.sign.tolist() == ["cat", "dog"]
    assert found.predicted.tolist() == ["bird", "bird"]
    expected = [softmax((4, 1, 0))[0], softmax((1, 0, 0))[0]]
    np.testing.assert_allclose(found.probability, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "mean"),
    [
        ("fitted", lambda first, second: 0.25 * softmax(first) + 0.75 * softmax(second)),
        ("logits", lambda first, second: softmax(0.25 * first + 0.75 * second)),
    ],
)
def test_a_blend_is_the_weighted_mean(predictions, student, rule, mean):
    soup = predictions[predictions.role == "soup"].sample(frac=1, random_state=0)
    votes = {"a": Vote(0.25), "b": Vote(0.75)}
    blended = ensemble.together({"a": student, "b": soup}, votes, rule)
    assert blended.sequence.tolist() == ["0", "1", "2", "3"] and set(blended.role) == {"ensemble"}
    for row, (*_, first, second) in zip(blended.itertuples(), CLIPS, strict=True):
        expected = mean(np.array(first), np.array(second))
        np.testing.assert_allclose(np.exp(row.logits), expected, rtol=1e-5)


def test_members_of_other_clips_are_refused(student):
    with pytest.raises(InputError, match="b: expected predictions of the clips that a predicts"):
        ensemble.together({"a": student, "b": student[:3]}, ensemble.equal_votes("ab"))
