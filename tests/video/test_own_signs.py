"""Notebook 06, from drawn videos to a live page. Skipped without mediapipe."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from src import notebooks
from src.runs import Run
from tests.video.test_video import mediapipe

__all__ = ["mediapipe"]
pytestmark = pytest.mark.slow


def test_notebook_06_goes_from_videos_to_a_recogniser_and_its_page(mediapipe, tmp_path):
    values = {"RUN_DIR": str(tmp_path / "own"), "FOLDER": str(tmp_path / "signs")}
    assert notebooks.execute(["06"], values, force=False, show=False) == 0
    clips = pd.read_csv(tmp_path / "signs" / "train.csv")
    assert len(clips) == 72 and clips.participant_id.nunique() == 4 and clips.sign.nunique() == 6
    run = Run.open(tmp_path / "own" / "recogniser")
    shutil.rmtree(run.store.folder)
    report = json.loads((run.folder / "report.json").read_text())
    # The held-out signer is the left-handed one; chance is a sixth.
    assert report["held_out"] == ["dov"] and report["accuracy"] > 0.7
    assert (run.folder / "model.tflite").is_file()
    text = (tmp_path / "own" / "06_own_signs.ipynb").read_text()
    assert "the page answers with" in text
