"""Files are whole or absent; a folder has one holder, and others are told of it."""

import errno
import json
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from src.common.errors import InputError
from src.common.files import locked, write_atomically, write_json, write_text


def test_json_round_trip_in_a_folder_that_is_not_there_yet(tmp_path):
    value = {"signs": {"schön": 1}, "list": [1, 2.5, None]}
    path = write_json(tmp_path / "a/b/x.json", value)
    assert json.loads(path.read_text("utf-8")) == value and "schön" in path.read_text("utf-8")
    assert os.listdir(path.parent) == ["x.json"]


def test_temporary_file_is_a_neighbour_with_the_same_suffix(tmp_path):
    """A rename is only atomic within a file system, and writers go by the suffix."""
    seen = []
    write_atomically(tmp_path / "x.npy", lambda path: (seen.append(path), path.write_bytes(b"1")))
    (temporary,) = seen
    assert temporary.parent == tmp_path and temporary.suffix == ".npy" and temporary.stem != "x"


@pytest.mark.parametrize("before", [{}, {"x.txt": "old"}], ids=["nothing", "a file"])
def test_a_writer_that_raises_leaves_what_was_there(tmp_path, before):
    for name, text in before.items():
        (tmp_path / name).write_text(text)

    def half(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "x.txt", half)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "refused", [("mkdir", "unlink", "write_text"), ("write_text",)], ids=["all", "only writing"]
)
@pytest.mark.parametrize(
    ("number", "message"),
    [
        pytest.param(errno.ENOSPC, "expected room to write it", id="full"),
        pytest.param(errno.EROFS, "expected a folder to write in", id="read-only"),
        pytest.param(errno.EACCES, "expected a folder to write in", id="not open to us"),
    ],
)
def test_a_file_system_that_takes_nothing_is_one_clear_error(
    tmp_path, monkeypatch, number, message, refused
):
    refuse = Mock(side_effect=OSError(number, os.strerror(number)))
    (tmp_path / ".lock").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    for name in refused:
        monkeypatch.setattr(Path, name, refuse)
    for folder in (tmp_path / "new", tmp_path):
        with pytest.raises(InputError, match=message):
            write_atomically(folder / "x.txt", refuse)
        with pytest.raises(InputError, match=message), locked(folder, "tests"):
            pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full device")
def test_numpys_words_for_a_full_disk_are_understood(tmp_path):
    with pytest.raises(InputError, match="expected room to write it, found none"):
        write_atomically(tmp_path / "x.npy", lambda _: np.ones(10_000).tofile("/dev/full"))


@pytest.mark.parametrize("place", ["file", "file/deep", "x" * 300], ids=["file", "deep", "long"])
def test_what_can_be_no_folder_is_one_clear_error(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder to write in"):
        write_text(tmp_path / place / "x.txt", "new")
    held = locked(tmp_path / place, "tests")
    with pytest.raises(InputError, match="expected a folder to write in"), held:
        pass


@pytest.mark.parametrize(
    "error",
    [PermissionError(errno.EACCES, "Permission denied", "/elsewhere"), RuntimeError()],
    ids=["of the file that is read", "without words"],
)
def test_an_error_of_another_kind_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)) as raised:
        write_atomically(tmp_path / "x.txt", Mock(side_effect=error))
    assert raised.value is error


def test_the_lock_goes_at_the_end_and_after_an_error_and_not_before(tmp_path):
    """Two runs started by one notebook kernel are two holders. Killed ones: tests/faults."""
    holder = f"process {os.getpid()} on {os.uname().nodename} first since"
    to_do = f"wait .* again; if no such process runs there, delete {tmp_path}/new/.lock"
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new", "tests"):
        _ = 1 / 0
    for _ in range(2):
        with (
            locked(tmp_path / "new", "first"),
            pytest.raises(InputError, match=f"^{tmp_path}/new: .*{holder} .*; {to_do}"),
            locked(tmp_path / "new", "second"),
        ):
            pass
