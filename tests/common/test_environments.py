"""Environments beside the main one: found, made once, made anew, refused in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.common.environments import Unavailable, find_python, make, mark_of
from src.kaggle.wheels import installed_wheel


def script(path: Path, code: int) -> Path:
    """An executable that ends with that code, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def pythons(tmp_path, monkeypatch) -> Path:
    """A machine without any Python but those that a test puts into path/ and pyenv/."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_a_python_in_the_path_goes_before_pyenvs_if_it_runs(pythons):
    """pyenv's shims are in the path for every version, and fail for those switched off."""
    in_path = script(pythons / "path/python3.9", 0)
    in_pyenv = script(pythons / "pyenv/versions/3.9.18/bin/python", 0)
    assert find_python("3.9") == in_path
    script(in_path, 127)
    assert find_python("3.9") == in_pyenv
    in_path.unlink()
    assert find_python("3.9") == in_pyenv


def test_no_python_of_that_version_says_where_it_looked(pythons):
    script(pythons / "pyenv/versions/3.90.1/bin/python", 0)  # 3.90 is not 3.9
    script(pythons / "pyenv/versions/3.8.18/bin/python", 0)
    with pytest.raises(Unavailable, match=r"Python 3\.9 .*pyenv/versions, found none.*install"):
        find_python("3.9")


def test_an_environment_is_made_once_and_again_when_its_pins_change(tmp_path, capsys):
    folder, pins = tmp_path / "environment", tmp_path / "pins.txt"
    wheel = str(installed_wheel("docstring_parser", tmp_path))
    pins.write_text(wheel)
    interpreter = make(Path(sys.executable), folder, pins)
    # Nothing of the main environment shows through.
    code = "import docstring_parser, importlib.util as u; print(u.find_spec('numpy'))"
    assert subprocess.check_output([interpreter, "-c", code], text=True) == "None\n"

    (folder / "kept").touch()
    pins.write_text(f"# a comment\n\n{wheel}\n")
    assert make(Path("/no/python/at/all"), folder, pins) == interpreter
    assert (folder / "kept").exists()
    assert capsys.readouterr().out == ""

    # A failure leaves nothing that could be taken for an environment of these pins.
    pins.write_text(str(tmp_path / "nowhere.whl"))
    with pytest.raises(Unavailable, match=r"could not install .*pins\.txt: ERROR.*nowhere"):
        make(Path(sys.executable), folder, pins)
    assert not mark_of(folder, pins).is_finished
    assert not (folder / "kept").exists()
    said = capsys.readouterr().out
    assert f"{folder}: made again because of changes: requirements.{wheel} is gone" in said


def test_a_python_that_cannot_make_environments_is_said(tmp_path):
    pins = tmp_path / "pins.txt"
    pins.touch()
    with pytest.raises(Unavailable, match=r"environment: could not install .*: exit code 3$"):
        make(script(tmp_path / "python", 3), tmp_path / "environment", pins)


def test_looking_needs_no_variables_of_a_user(monkeypatch):
    for name in ("HOME", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unavailable):
        find_python("3.99")
