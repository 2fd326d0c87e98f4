"""The command that asks the competition's runtime: agreement, a reason to skip, a clear refusal."""

import json
import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from src.common.environments import Unavailable
from src.common.errors import InputError
from src.dataset import store as stores
from src.recipes import choose, landmark_union
from src.runs import About, Run
from src.submission import check_runtime
from src.tflite.converter.convert import convert
from src.tflite.parity import edge_clips
from tests.tflite.lengths import by_length, module_of


@pytest.fixture(scope="module")
def made(sample, tmp_path_factory) -> Path:
    """A run's folder as 01 leaves it, with a file as 04 would."""
    base = tmp_path_factory.mktemp("run")
    store = stores.build(sample, base / "stores", landmark_union(), [], 1)
    recipes = choose("llama", "sample")
    about = About("sample", str(sample), str(store.folder), 0, (), ("llama",), (0,))
    run = Run.create(base / "logs", about, recipes)
    (run.folder / "model.tflite").write_bytes(convert(module_of(by_length), "fp32"))
    return run.folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def report_of(folder: Path) -> dict:
    return json.loads((folder / "runtime.json").read_text())


def test_no_runtime_is_a_reason_to_skip_and_no_failure(folder, monkeypatch, capsys):
    reason = "expected a Python 3.9, found none"
    monkeypatch.setattr(check_runtime, "environment", Mock(side_effect=Unavailable(reason)))
    assert check_runtime.main(str(folder)) == 0
    assert capsys.readouterr().out == f"skipped: {reason}\n"
    assert report_of(folder) == {"passed": None, "skipped": reason}


def test_held_out_clips_and_edges_are_asked_and_the_report_written(folder, monkeypatch, capsys):
    monkeypatch.setattr(check_runtime, "environment", lambda: Path(sys.executable))
    assert check_runtime.main(str(folder)) == 0
    said = capsys.readouterr().out
    assert "held-out clip 1 " in said and "nothing detected" in said
    assert str(folder / "runtime.json") in said
    report, run = report_of(folder), Run.open(folder)
    held_out = int((run.clips.fold == 0).sum())
    assert report["passed"] is True and report["difference"] == 0
    assert report["clips"] == min(held_out, 20) + len(edge_clips(1))


def test_answers_that_differ_fail_the_command(folder, monkeypatch, capsys):
    monkeypatch.setattr(check_runtime, "environment", lambda: Path(sys.executable))
    compare = check_runtime.compare

    def shifted(*arguments):
        found = compare(*arguments)
        found.competition.outputs[:] = np.roll(found.competition.outputs, 1, axis=1)
        return found

    monkeypatch.setattr(check_runtime, "compare", shifted)
    assert check_runtime.main(str(folder)) == 1
    assert "FAIL" in capsys.readouterr().out
    assert report_of(folder)["same_sign"] == 0


def test_a_run_without_a_file_is_refused(folder):
    (folder / "model.tflite").unlink()
    with pytest.raises(InputError, match=r"model\.tflite: expected the run's file.*run 04 first"):
        check_runtime.main(str(folder))


def test_the_competitions_own_runtime_agrees(folder, capsys):
    """What `make check-runtime` does, where Python 3.9 and the packages can be had."""
    assert check_runtime.main(str(folder)) == 0
    report = report_of(folder)
    if report["passed"] is None:
        pytest.skip(report["skipped"])
    assert report["runtimes"][0] == "tflite-runtime 2.9.1" and report["same_sign"] == 1
