"""Clips, signs and commands of videos, without mediapipe."""

import json
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import tyro
from PIL import Image, ImageSequence

from src import landmarks as lm
from src.common.environments import Unavailable
from src.common.errors import InputError
from src.common.files import write_json
from src.common.paths import SIGN_MAP
from src.dataset.clip_file import read_clip
from src.runs import About
from src.tflite.scorer import Model, load_frames
from src.video import __main__ as command
from src.video import environment
from src.video.overlay import drawn, write_gif
from src.video.predict import probabilities, top
from src.video.recording import Recording, save, videos
from tests.video.conftest import FRAMES, SIGNS, extract


def test_a_process_that_does_not_start_ends_all_in_one_line(tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no module >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr("src.video.process.interpreter", lambda: broken)
    with pytest.raises(Unavailable, match="ended with code 3: no module; run `make video-env`"):
        extract("any.mp4", mirrored=False)


def test_a_clip_is_kept_as_the_competition_keeps_it(made_up, tmp_path):
    path = save(made_up, tmp_path, "wave")
    assert path == tmp_path / "wave.parquet"
    np.testing.assert_array_equal(load_frames(path), made_up.xyz)
    np.testing.assert_array_equal(read_clip(path), made_up.xyz)  # with every check of its own


def test_what_was_missed_is_said(made_up):
    assert made_up.missing() == (
        "10 frames at 10 a second; missing: face 0%, left hand 100%, pose 0%, right hand 0%"
    )


def test_the_most_likely_signs_come_first(made_up, file):
    best = top(Model(file), made_up.xyz, SIGNS)
    assert [name for name, _ in best] == ["sign2", "sign3", "sign1", "sign4", "sign0"]
    np.testing.assert_allclose([share for _, share in best], [0.5, 0.2, 0.1, 0.1, 0.05], 1e-6)
    with pytest.raises(InputError, match=r"each of 5 signs, found 6 .*run 02 to 04 again"):
        top(Model(file), made_up.xyz, {f"sign{number}": number for number in range(5)})


def test_the_signs_that_are_named_are_those_of_a_runs_model_too(file, tmp_path):
    """The folder that the run was made of has more signs by now, and its store is another."""
    data = tmp_path / "data"
    data.mkdir()
    (data / SIGN_MAP).write_text(json.dumps(SIGNS | {"sign6": 6}))
    about = About("cpu", str(data), str(tmp_path / "store"), 0, (), ("llama",), (0,))
    write_json(tmp_path / "run.json", asdict(about))
    shutil.copyfile(file, tmp_path / "model.tflite")
    with pytest.raises(InputError, match="found none; run 04 again, or name the folder"):
        command._model(str(tmp_path), "", "")
    assert len(command._model(str(tmp_path), "", str(data))[1]) == 7
    write_json(tmp_path / SIGN_MAP, SIGNS)
    assert command._model(str(tmp_path), "", "")[1] == SIGNS


def test_the_next_command_can_be_copied(tmp_path, monkeypatch, capsys):
    report = tmp_path / "report.md"
    report.write_text("# 1 clip")
    monkeypatch.setattr(command, "make_readable", lambda *_: (report, []))
    assert command.dataset("videos", to="input/my signs") == 0
    words = shlex.split(capsys.readouterr().out.partition("next: ")[2])
    assert "DATA=input/my signs" in words


def test_logits_become_probabilities_and_probabilities_stay():
    shares = np.array([0.25, 0.75], np.float32)
    np.testing.assert_array_equal(probabilities(shares), shares)
    np.testing.assert_allclose(probabilities(np.log(shares)), shares, 1e-6)
    np.testing.assert_allclose(probabilities(np.float32([3, 3, 3])), 1 / 3, 1e-6)


def test_signs_with_accents_and_of_other_alphabets_are_written_on_the_picture():
    """Not the box of a letter that the font lacks, which would be the same for all."""
    black, nothing = np.zeros((30, 40, 3), np.uint8), lm.undetected(1)[0]
    shown = {drawn(black, nothing, letter).tobytes() for letter in "ëäéñżяλא\uffff"}
    assert len(shown) == 9


@pytest.mark.parametrize(("fps", "kept"), [(10.0, 10), (30.0, 5)])
def test_the_animation_has_the_videos_length(made_up, tmp_path, fps, kept):
    recording = Recording(made_up.xyz, made_up.pictures, fps)
    path = write_gif(recording, tmp_path / "out.gif", "sign 50%")
    with Image.open(path) as gif:
        frames = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
        assert gif.size == (120, 120)
    # Equal pictures in a row may be merged; the time they take stays.
    assert len(frames) <= kept
    assert sum(frames) == pytest.approx(1000 * FRAMES / fps, abs=10 * FRAMES)


def test_a_video_of_one_picture_an_hour_has_an_animation_too(made_up, tmp_path):
    slow = write_gif(Recording(made_up.xyz, made_up.pictures, 1 / 3600), tmp_path / "slow.gif")
    with Image.open(slow) as gif:
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(gif)) > 600_000


def test_videos_are_a_file_or_those_of_a_folder(tmp_path):
    assert videos("webcam:1") == {"webcam:1": "webcam-1"}
    assert videos("webcam_hello.mp4") == {"webcam_hello.mp4": "webcam_hello"}
    with pytest.raises(InputError, match=r"expected videos .*found none"):
        videos(str(tmp_path))
    for name in ("b.MP4", "a.mov", "c.txt", "._a.mov"):
        (tmp_path / name).touch()
    assert videos(str(tmp_path)) == {str(tmp_path / "a.mov"): "a", str(tmp_path / "b.MP4"): "b"}
    for name in ("a.mp4", "a-mov.mp4", "a.mov.mp4"):  # each has a name of its own
        (tmp_path / name).touch()
    named = [(Path(path).name, name) for path, name in videos(str(tmp_path)).items()]
    assert named == [
        ("a-mov.mp4", "a-mov"), ("a.mov", "a.mov"), ("a.mov.mp4", "a.mov.mp4"),
        ("a.mp4", "a.mp4"), ("b.MP4", "b"),
    ]  # fmt: skip


def test_without_the_environment_it_says_what_to_make(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "root", lambda: tmp_path)
    with pytest.raises(Unavailable, match="make video-env"):
        environment.interpreter()
    # One made from other pins does not count.
    (tmp_path / ".venv-video").mkdir()
    (tmp_path / ".venv-video/.installed").write_text("other pins")
    with pytest.raises(Unavailable, match="none with these pins"):
        environment.interpreter()


def test_the_command_line_ends_with_one_line(tmp_path):
    words = [sys.executable, "-m", "src.video", "predict", "x.mp4", "--run", str(tmp_path)]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ran.returncode != 0 and "Traceback" not in ran.stderr
    assert ran.stderr.strip().startswith("error: ") and "run it first" in ran.stderr


def test_ctrl_c_ends_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr("src.video.collection.make_readable", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(sys, "argv", ["src.video", "dataset", "videos"])
    monkeypatch.delitem(sys.modules, command.__name__)  # it runs anew
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("src.video", run_name="__main__")
    assert ended.value.code == 130 and "`dataset` goes on" in capsys.readouterr().err


def test_help_tells_of_predict(capsys):
    with pytest.raises(SystemExit):
        tyro.cli(command.landmarks, args=["--help"])
    assert "src.video predict --help" in " ".join(capsys.readouterr().out.split())
