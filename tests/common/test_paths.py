"""Where things are: in a checkout, from another folder, on Kaggle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from src.common import paths
from src.common.errors import InputError
from src.common.paths import SIGN_MAP, anchored, competition_folder, environment

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No variable of the machine, and a current folder that is not the checkout."""
    for name in ("KAGGLE_KERNEL_RUN_TYPE", "ASL_SIGNS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kaggle(monkeypatch, tmp_path) -> Path:
    """Inside a Kaggle kernel whose mounts are under the answer."""
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(paths, "KAGGLE_INPUT", tmp_path / "kaggle/input")
    monkeypatch.setattr(paths, "KAGGLE_WORKING", tmp_path / "kaggle/working")
    return tmp_path / "kaggle"


def competition(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / SIGN_MAP).write_text("{}")
    return folder


def test_relative_paths_start_at_the_checkout_wherever_one_is():
    assert anchored("logs/run") == CHECKOUT / "logs/run"
    assert anchored("../shared") == (CHECKOUT.parent / "shared").resolve()


def test_absolute_paths_and_home_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert anchored(tmp_path / "x") == tmp_path / "x"
    assert anchored("~/x") == tmp_path / "x"


def test_on_kaggle_relative_paths_start_at_the_writable_folder(kaggle):
    assert anchored("logs/run") == kaggle / "working/logs/run"


def test_the_argument_goes_before_the_variable(tmp_path, monkeypatch):
    by_variable, by_argument = competition(tmp_path / "a"), competition(tmp_path / "b")
    monkeypatch.setenv("ASL_SIGNS_DIR", str(by_variable))
    assert competition_folder() == by_variable
    assert competition_folder(str(by_argument)) == by_argument


def test_a_relative_competition_folder_starts_at_the_root(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "root", lambda: tmp_path / "checkout")
    data = competition(tmp_path / "elsewhere")
    assert competition_folder("../elsewhere") == data


@pytest.mark.parametrize("mount", ["asl-signs", "competitions/asl-signs"])
def test_both_of_kaggles_mounts_are_found(kaggle, mount):
    data = competition(kaggle / "input" / mount)
    assert competition_folder() == data


@pytest.mark.parametrize("where", ["argument", "variable", "nothing"])
def test_no_competition_folder_says_where_it_looked_and_what_to_do(tmp_path, monkeypatch, where):
    """A folder that was named and is wrong is never replaced by another one."""
    wrong = tmp_path / "empty"
    wrong.mkdir()
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    if where != "nothing":
        competition(tmp_path / "input/asl-signs")
    if where == "variable":
        monkeypatch.setenv("ASL_SIGNS_DIR", str(wrong))
    looked_in = tmp_path / "input/asl-signs" if where == "nothing" else wrong
    with pytest.raises(InputError) as refused:
        competition_folder(str(wrong) if where == "argument" else "")
    message = str(refused.value)
    assert message.startswith(str(looked_in))
    assert SIGN_MAP in message and "PROFILE=sample" in message and "ASL_SIGNS_DIR" in message


def test_environment_tells_interpreter_root_and_versions():
    line = environment()
    for fact in (sys.executable, str(CHECKOUT), "torch " + torch.__version__.split("+")[0]):
        assert fact in line
    assert "\n" not in line
