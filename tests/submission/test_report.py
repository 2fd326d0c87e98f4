"""report.md says of the facts what they are: whom the clips are of, which rungs are missing."""

import re

import pytest

from src.submission import report
from tests.submission.test_model_card import FACTS

REPORTED = FACTS | {
    "accuracy_torch": {"llama": 0.61},
    "parity": {"TensorFlow": {"difference": 1e-6, "agreement": 1.0, "passed": True}},
    "parity_missing": "",
    "left_out": [],
    "versions": {"python": "3.11"},
}


def test_clips_of_signers_held_out_are_the_usual():
    text = report.markdown(REPORTED)
    assert "60.0% on held-out signers" in text and "clips of 250 signs. Scored" in text
    assert "2044, 4718, whom no member has seen" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signers_seen": True}, "60.0% on held-out clips"),
        ({"signers_seen": True}, "whom the members know from other clips"),
        ({"accuracy_all_folds": {"folds": 4, "accuracy": 0.512}}, r"\| all 4 folds, each.*51\.2%"),
        ({"parity_missing": "llama differs by 2.7 %"}, r"No rungs by ONNX: llama .* 2\.7 %\."),
        ({"left_out": ["llama", "pupil"]}, "Trained, but not in the file: llama, pupil\\."),
        (
            {"clips": FACTS["clips"] | {"extra": 1200}},
            r"clips of 250 signs, 1,200 of them from other collections\. Scored",
        ),
    ],
)
def test_what_is_said_only_where_it_is_so(changes, words):
    assert not re.search(words, report.markdown(REPORTED))
    assert re.search(words, report.markdown(REPORTED | changes))
