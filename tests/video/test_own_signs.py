"""Notebook 06, from drawn videos to a live page (skipped without mediapipe), and its cells."""

import json
import shlex
import shutil
import sys

import nbformat
import pandas as pd
import pytest

from src import notebooks
from src.common import paths
from src.common.errors import InputError
from src.runs import Run

PAGE = """
from http.server import HTTPServer, SimpleHTTPRequestHandler
page = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
print(f"6 signs\\nhttp://127.0.0.1:{page.server_port}/", flush=True)
page.serve_forever()
"""
NO_PAGE = "import sys; sys.exit('error: port 80: expected it free')"


def run_cell(has: str, **names: object) -> dict[str, object]:
    """Run the one cell of notebook 06 with these words in it; returns its names."""
    cells = nbformat.read(notebooks.NOTEBOOKS / "06_own_signs.ipynb", as_version=4).cells
    (code,) = (cell.source for cell in cells if cell.cell_type == "code" and has in cell.source)
    exec(code, names)
    return names


def test_what_are_no_videos_is_said_and_not_counted(tmp_path, capsys):
    (tmp_path / "ana/hello").mkdir(parents=True)
    (tmp_path / ".DS_Store").touch()
    with pytest.raises(InputError, match="expected videos as <signer>"):
        run_cell("draw_videos", paths=paths, VIDEOS=str(tmp_path))
    (tmp_path / "ana/hello/1.mp4").touch()
    (tmp_path / "list.csv").write_text("path,signer,sign\nana/hello/1.mp4,ana,hello\n")
    for videos in (tmp_path, tmp_path / "list.csv"):
        run_cell("draw_videos", paths=paths, VIDEOS=str(videos))
        assert f"1 videos in {videos}, such as hello by ana" in capsys.readouterr().out


def test_the_same_command_by_hand_has_every_value(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(notebooks, "execute", lambda _, values, **__: given.append(values) or 0)
    clips = pd.DataFrame({"participant": ["ana", "ben lee"]})
    values = {"RUN_DIR": "logs/mine", "FOLDER": "input/mine", "OVERRIDES": "--epochs 2"}
    run_cell("MAIN_PATH", clips=clips, HOLD_OUT="", RECIPES="llama", **values)
    words = shlex.split(capsys.readouterr().out.partition("by hand: ")[2])
    assert {"RECIPES=llama", "OVERRIDES=--epochs 2", "HOLD_OUT=ben lee"} < {*words}
    # Clips that were recorded since would be refused otherwise.
    assert given[0]["RETRAIN"] is True and "RETRAIN=True" in words


def test_the_page_is_looked_at_past_any_proxy_and_a_failure_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody answers
    names = {"paths": paths, "shlex": shlex, "recogniser": "logs/my own"}
    names |= {"FOLDER": "input/mine", "PORT": 0}
    interpreter, python = sys.executable, tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))

    def instead(code: str) -> None:
        python.write_text(f"#!{interpreter}\n{code}")
        python.chmod(0o755)

    instead(NO_PAGE)
    with pytest.raises(InputError, match="did not start: error: port 80: expected it free"):
        run_cell("page.terminate", **names)
    instead(PAGE)
    run_cell("page.terminate", **names)
    said = capsys.readouterr().out
    assert "6 signs: the page answers with" in said and "--run 'logs/my own'" in said


@pytest.mark.slow
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
