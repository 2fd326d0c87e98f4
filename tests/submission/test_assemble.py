"""What is submitted, and what stands beside it."""

import json
from types import SimpleNamespace

import pytest

from src.common.paths import SIGN_MAP
from src.runs import About, Run
from src.submission import assemble
from src.tflite.export import Exported, ExportOptions
from src.tflite.graph import Graph


def test_a_kill_leaves_no_older_report_beside_a_newer_file(tmp_path, monkeypatch):
    reports = ("submission.zip", "report.json", "report.md", "model_card.md")
    for name in (SIGN_MAP, "model.tflite", *reports, "scored.tflite"):
        (tmp_path / name).write_text("new" if name == "scored.tflite" else "old")
    monkeypatch.setattr(assemble, "write_zip", lambda *_: 1 / 0)  # stands for a kill
    run = Run(tmp_path, About("sample", "", "", 0, (), (), (0,)))
    vars(run)["store"] = SimpleNamespace(signs={"hello": 0, "bye": 1})
    scored = Exported(tmp_path / "scored.tflite", 1.0, (), ExportOptions(), Graph.__new__(Graph))
    with pytest.raises(ZeroDivisionError):
        assemble.write_submission(run, scored, {})
    assert (tmp_path / "model.tflite").read_text() == "new"
    assert json.loads((tmp_path / SIGN_MAP).read_text()) == {"hello": 0, "bye": 1}
    assert {path.name for path in tmp_path.iterdir()} == {SIGN_MAP, "model.tflite", "scored.tflite"}
