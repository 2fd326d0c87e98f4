"""Where things are: in a checkout, from another folder, on Kaggle."""

import sys
from errno import EACCES
from pathlib import Path
from unittest.mock import Mock

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


def competition(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / SIGN_MAP).write_text("{}")
    return folder


def test_relative_paths_start_at_the_checkout_wherever_one_is(tmp_path, monkeypatch):
    assert anchored("logs/run") == CHECKOUT / "logs/run"
    assert anchored("../shared") == (CHECKOUT.parent / "shared").resolve()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert anchored(tmp_path / "x") == tmp_path / "x"
    assert anchored("~/x") == tmp_path / "x"


def test_a_home_of_nobody_is_refused():
    with pytest.raises(InputError, match="~nobody at all/x: expected a user's name after ~"):
        anchored("~nobody at all/x")


def test_the_argument_goes_before_the_variable(tmp_path, monkeypatch):
    by_variable, by_argument = competition(tmp_path / "a"), competition(tmp_path / "b")
    monkeypatch.setenv("ASL_SIGNS_DIR", str(by_variable))
    assert competition_folder() == by_variable
    assert competition_folder(str(by_argument)) == by_argument
    monkeypatch.setattr(paths, "root", lambda: tmp_path / "checkout")
    assert competition_folder("../b") == by_argument


@pytest.mark.parametrize("mount", ["asl-signs", "competitions/asl-signs"])
def test_in_a_kaggle_kernel_both_mounts_and_the_writable_folder_are_found(
    mount, tmp_path, monkeypatch
):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(paths, "KAGGLE_INPUT", tmp_path / "input")
    monkeypatch.setattr(paths, "KAGGLE_WORKING", tmp_path / "working")
    data = competition(tmp_path / "input" / mount)
    assert competition_folder() == data
    assert anchored("logs/run") == tmp_path / "working/logs/run"


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
    message = f"^{looked_in}: .*{SIGN_MAP}.*ASL_SIGNS_DIR.*PROFILE=sample"
    with pytest.raises(InputError, match=message):
        competition_folder(str(wrong) if where == "argument" else "")


def test_a_folder_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    denied = Mock(side_effect=PermissionError(EACCES, "Permission denied"))
    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(InputError, match=rf"{tmp_path}: expected .* Permission denied; change its"):
        competition_folder(str(tmp_path))


def test_environment_tells_interpreter_root_and_versions():
    line = environment()
    for fact in (sys.executable, str(CHECKOUT), "torch " + torch.__version__.split("+")[0]):
        assert fact in line
    assert "\n" not in line
