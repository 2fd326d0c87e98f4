"""report.md says of the facts what they are: whom the clips are of, which rungs are missing."""

import re

import pytest

from src.submission import report
from tests.submission.test_model_card import FACTS

REPORTED = FACTS | {
    "accuracy_torch": {"llama": 0.61},
    "parity": {"TensorFlow": {"difference": 1e-6, "agreement": 1.0, "passed": True}},
    "parity_missing": "",
    "versions": {"python": "3.11"},
}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (False, ("60.0% on held-out signers", "2044, 4718, whom no member has seen")),
        (True, ("60.0% on held-out clips", "whom the members know from other clips")),
    ],
)
def test_whom_the_clips_are_of(seen, words):
    text = report.markdown(REPORTED | {"signers_seen": seen})
    assert all(word in text for word in words)


def test_the_cross_validated_accuracy_is_beside_the_files():
    assert "folds, each" not in report.markdown(REPORTED)
    cross = {"accuracy_all_folds": {"folds": 4, "accuracy": 0.512}}
    assert re.search(r"^\| all 4 folds, each.*51\.2%", report.markdown(REPORTED | cross), re.M)


def test_missing_rungs_have_their_reason():
    assert "No rungs by ONNX" not in report.markdown(REPORTED)
    text = report.markdown(REPORTED | {"parity_missing": "llama: onnx2tf differs by 2.7 %"})
    assert "No rungs by ONNX: llama: onnx2tf differs by 2.7 %." in text


def test_clips_of_other_collections_are_not_said_to_be_the_datas():
    assert "clips of 250 signs. Scored" in report.markdown(REPORTED)
    clips = REPORTED["clips"] | {"extra": 1200}
    text = report.markdown(REPORTED | {"clips": clips})
    assert "clips of 250 signs, 1,200 of them from other collections. Scored" in text
