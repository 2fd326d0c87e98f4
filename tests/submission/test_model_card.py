"""The model card: every figure of the report that a stranger to the run needs, and no other."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from src.runs import About, Run
from src.submission import model_card, report
from src.tflite.scorer import Score

MEMBERS = {"llama": {"parameters": 9_200_000, "weight": 1.0, "temperature": 1.0}}
FACTS = {
    "accuracy": 0.6,
    "nearest_neighbour": 0.25,
    "nearest_neighbour_aligned": 0.3,
    "by_signer": {n: {"accuracy": a, "clips": 40} for n, a in (("2044", 0.75), ("4718", 0.45))},
    "size_mb": 12.345,
    "latency_ms": {"mean": 4.5, "median": 4.0, "p95": 9.0},
    "limits": {"size": True, "time": False},
    "profile": "full",
    "data": "/data/asl-signs",
    "origin": "competition",
    "clips": {"all": 94477, "scored": 80, "training_only": 0, "extra": 0},
    "signs": 250,
    "outputs": 250,
    "participants": 21,
    "fold": 0,
    "fit_on_everything": False,
    "held_out": ["2044", "4718"],
    "signers_seen": False,
    "accuracy_all_folds": {},
    "members": MEMBERS,
    "submitted": {"size_mb": 12.345, "members": MEMBERS},
}


def sections(**changes) -> dict[str, str]:
    """The card's sections by their headings, of FACTS with these changes."""
    pieces = model_card.markdown(FACTS | changes).split("\n## ")
    return dict(piece.split("\n", 1) for piece in pieces[1:])


def rows(text: str) -> list[list[str]]:
    """Signer, clips and accuracy of each row of a table."""
    return [row.split()[1:6:2] for row in text.splitlines() if row[:1] == "|" and "%" in row]


def test_only_calibrated_probabilities_are_said_to_be():
    raw = sections()["Limits"]
    assert "Probabilities are not calibrated" in raw and "73" not in raw
    members = {"llama": MEMBERS["llama"] | {"temperature": 0.6}}
    cooled = {"submitted": {"size_mb": 1.0, "members": members}, "confidence": 0.731}
    said = sections(**cooled)["Limits"]
    assert "not calibrated" in said and "needs a second trained fold" in said
    four = {"accuracy_all_folds": {"folds": 4, "accuracy": 0.6}}
    said = sections(**four)["Limits"]  # equal votes, for instance
    assert "not calibrated" in said and "second trained fold" not in said
    said = sections(**cooled, **four)["Limits"]
    assert "on other signers than those scored" in said
    assert "73.1% on average; 60.0% are right" in said and "not calibrated" not in said
    said = sections(**cooled, **four, signers_seen=True)["Limits"]
    assert "on other clips than those scored" in said
    # The fit on everything has temperatures of its own, found on the scored clips as well.
    raw = sections(**cooled, **four, fit_on_everything=True)["Limits"]
    assert "are calibrated on the held-out signers of all folds. The scored file, which is" in raw
    said = sections(**cooled, **four, fit_on_everything=True, members=members)["Limits"]
    assert "The scored file, calibrated on other signers than those scored, gives its" in said


def test_signers_may_have_any_name():
    """One called "all" is not the sum, and a bar in a name adds no column."""
    signers = {"all": {"accuracy": 0.25, "clips": 16}, "E|a": {"accuracy": 0.75, "clips": 64}}
    assert rows(sections(by_signer=signers)["Accuracy per signer"]) == [
        ["all", "16", "25.0%"], [r"E\|a", "64", "75.0%"], ["all", "80", "60.0%"]
    ]  # fmt: skip


def test_figures_are_the_reports():
    assert model_card.markdown(FACTS).startswith("# Model card: isolated signs, 250 of them\n")
    found = sections()
    assert list(found) == [
        "What it is", "Data", "Folds", "Accuracy per signer", "Size and latency",
        "Intended use", "Limits", "Licence",
    ]  # fmt: skip
    assert all(text.strip() for text in found.values())
    assert "One trained network:\n\n- `llama`: 9,200,000 parameters" in found["What it is"]
    assert "94,477 clips of 250 signs by 21 signers, from `/data/asl-signs`" in found["Data"]
    assert "only" not in found["Data"] and "collections" not in found["Data"]
    assert "the signers of fold 0 (2: 2044, 4718)" in found["Folds"]
    signers = found["Accuracy per signer"]
    assert rows(signers) == [
        ["4718", "40", "45.0%"], ["2044", "40", "75.0%"], ["all", "80", "60.0%"]
    ]  # fmt: skip
    assert "25.0%; with the signing hand aligned: 30.0%; chance: 0.4%" in signers
    for figures in ("12.35 MB", "4.50 ms mean, 4.00 median, 9.00 p95", "size met, time NOT MET"):
        assert figures in found["Size and latency"]
    seen = sections(signers_seen=True)
    assert "trained on: the figures say nothing about others" in seen["Folds"]
    assert "held-out" in signers and "held-out" not in seen["Accuracy per signer"]


def test_signs_of_the_map_without_clips_are_outputs_but_are_not_counted():
    found = sections(signs=2, outputs=4)
    assert "float32 [4]" in found["What it is"] and "chance: 50.0%" in found["Accuracy per signer"]
    assert "of 2 signs" in found["Data"] and "map names 4 signs" in found["Data"]
    assert "map" not in sections()["Data"]


@pytest.mark.parametrize(("extra", "own"), [(200, "1,000"), (0, "1,200")])
def test_clips_that_are_only_trained_on_are_the_folders_own_or_of_others(extra, own):
    clips = FACTS["clips"] | {"training_only": 1200, "extra": extra}
    data = sections(clips=clips)["Data"]
    assert f"{own} of the clips are for training only, as the folder itself says." in data
    assert ("200 of the clips come from other collections" in data) == bool(extra)


def test_synthetic_clips_are_said_first_and_have_a_licence_of_their_own():
    found = sections()
    assert "CC BY 4.0" in found["Licence"] and "MIT" in found["Licence"]
    assert "ynthetic" not in str(found)
    found = sections(origin="synthetic")
    assert found["Data"].strip().startswith("**Synthetic clips**")
    assert "CC BY" not in found["Licence"] and "Synthetic" in found["Licence"]
    assert "drawn ones" in found["Limits"] and "0.9.0.1" not in found["Limits"]


def test_other_peoples_clips_are_not_said_to_be_the_competitions():
    found = sections(origin="other")
    assert "The terms of the clips are not known here" in found["Licence"]
    assert "one version of MediaPipe" in found["Limits"] and "0.9.0.1" not in found["Limits"]
    assert not any(word in str(found) for word in ("CC BY", "Google", "ynthetic"))


@pytest.mark.parametrize(
    ("signers", "training_only", "mark", "origin"),
    [
        (["2044", "4718"], [False, False], False, "competition"),
        (["2044", "9001"], [False, True], False, "competition"),  # 9001 is from another collection
        (["2044", "9001"], [False, False], False, "other"),
        (["2044", "4718"], [False, False], True, "synthetic"),
    ],
)
def test_whose_clips_they_are_is_told_by_the_signers(
    tmp_path, monkeypatch, signers, training_only, mark, origin
):
    if mark:
        (tmp_path / "sample.json").touch()
    run = Run(tmp_path, About("full", "", "", 0, (), (), (0,)))
    run.__dict__["clips"] = pd.DataFrame({"participant": signers, "training_only": training_only})
    monkeypatch.setattr(Run, "data", tmp_path)
    assert report.origin(run) == origin


def test_the_submitted_file_is_described_where_another_is_scored():
    member = {"parameters": 1_000, "weight": 0.3, "temperature": 2.0}
    card = sections(submitted={"size_mb": 3.21, "members": {"pupil": member, "llama": member}})
    assert "2 trained networks:" in card["What it is"] and "`pupil`: 1,000" in card["What it is"]
    assert "weight 0.30" in card["What it is"] and "9,200,000" not in card["What it is"]
    assert "3.21 MB." in card["Size and latency"]


@pytest.mark.parametrize("everything", [False, True])
def test_which_file_the_figures_are_of_is_said(everything):
    card = sections(fit_on_everything=everything)
    # Not "on all signers": a recipe that chooses its best epoch keeps one aside in this fit, too.
    assert ("in the same way with no fold held out" in card["Folds"]) == everything
    assert ("cannot be scored" in card["Folds"]) == everything
    assert ("It is the file beside this card" in card["Folds"]) != everything
    assert ("(of the scored file)" in card["Size and latency"]) == everything


def test_accuracy_by_signer_counts_the_scored_clips_only(monkeypatch):
    """Four held-out clips, of which the first three were scored."""
    rows = pd.DataFrame({"participant": ["b", "a", "b", "b"], "sign": ["x", "x", "y", "y"]})
    monkeypatch.setattr(report, "held_out_clips", lambda run, fold: rows)
    run = Run(Path(), About("full", "", "", 0, (), (), (0,)))
    run.__dict__["store"] = SimpleNamespace(
        signs={"x": 0, "y": 1}, clip_files="", clip_contents=None
    )
    score = Score(3, 2, np.ones(3), 1.0, 1.0, np.array([0, 1, 1]), ())
    assert report.by_signer(run, score) == {
        "a": {"accuracy": 0.0, "clips": 1},
        "b": {"accuracy": 1.0, "clips": 2},
    }
