"""The numbered notebooks as papermill runs them: raw folder to submission.zip, on a tiny sample."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest

from src import notebooks as run
from src.common import paths
from src.dataset.sample import write_sample
from src.runs import Run
from src.tflite.scorer import score

TINY = (
    "--epochs 2 --steps 3 --batch-size 8 --soup-epochs 1 --model.dim 16 --model.widths 32 48 48 32"
)


@pytest.mark.slow
def test_from_raw_clips_to_a_submission_and_nothing_is_done_twice(tmp_path, capsys, request):
    data = write_sample(tmp_path / "raw", signs=3, participants=4, clips=2)
    values = {
        "RUN_DIR": str(tmp_path / "run"),
        "PROFILE": "cpu",
        "DATA": str(data),
        "RECIPES": "frame_deberta_a",
        "OVERRIDES": TINY,
        "WORKERS": 1,
        "SECOND_ROUTE": False,
    }
    folder = tmp_path / "run"
    assert run.execute(["01", "02", "03", "04"], values, force=False, show=False) == 0
    request.addfinalizer(lambda: shutil.rmtree(Run.open(folder).store.folder))
    report = json.loads((folder / "report.json").read_text())
    expected = {
        "accuracy",
        "nearest_neighbour",
        "size_mb",
        "latency_ms",
        "parity",
        "profile",
        "data",
    }
    assert expected <= report.keys()
    assert set(report["latency_ms"]) == {"mean", "median", "p95"}
    assert report["data"] == str(data)
    with zipfile.ZipFile(folder / "submission.zip") as archive:
        assert archive.namelist() == ["model.tflite"]
    result = score(folder / "model.tflite", data)
    assert result.passed and result.clips == 24
    for name in ("validation.csv", "ensemble.csv", "report.md", "model_card.md"):
        assert (folder / name).is_file(), name
    capsys.readouterr()
    assert run.execute(["01", "02", "03", "04"], values, force=False, show=False) == 0
    assert capsys.readouterr().out.count("already done") == 4


def test_the_root_is_found_from_the_notebooks_folder():
    assert (paths.root() / "notebooks" / "01_preparation.ipynb").is_file()
