"""Files are whole or absent; a folder has one holder, whatever way the holder ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src.common.errors import InputError
from src.common.files import locked, write_atomically, write_json, write_text
from src.common.paths import root


def start(program: str, *args: object) -> subprocess.Popen:
    """A second Python process that says "ready" once it is where the test wants it."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root(),
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    process.stdout.close()


# --- write_atomically ---------------------------------------------------------------------------


def test_writes_into_folders_that_are_not_there_yet(tmp_path):
    path = write_text(tmp_path / "a/b/note.txt", "Größe\n")
    assert path.read_bytes() == "Größe\n".encode()
    assert os.listdir(path.parent) == ["note.txt"]


def test_json_round_trip(tmp_path):
    value = {"signs": {"schön": 1}, "list": [1, 2.5, None]}
    assert json.loads(write_json(tmp_path / "x.json", value).read_text("utf-8")) == value


def test_temporary_file_is_a_neighbour_with_the_same_suffix(tmp_path):
    """A rename is only atomic within a file system, and writers go by the suffix."""
    seen = []
    write_atomically(tmp_path / "x.npy", lambda path: (seen.append(path), path.write_bytes(b"1")))
    (temporary,) = seen
    assert temporary.parent == tmp_path and temporary.suffix == ".npy"
    assert temporary.name != "x.npy"


@pytest.mark.parametrize("old", [None, "old"])
def test_a_writer_that_raises_leaves_what_was_there(tmp_path, old):
    path = tmp_path / "x.txt"
    if old is not None:
        path.write_text(old)

    def half(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, half)
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["x.txt"])
    assert old is None or path.read_text() == old


WRITE_FOREVER = """
import sys, time
from pathlib import Path
from src.common.files import write_atomically

def write(path):
    with path.open("w") as file:
        file.write("half")
        file.flush()
        print("ready", flush=True)
        time.sleep(60)

write_atomically(Path(sys.argv[1]), write)
"""


@pytest.mark.parametrize("old", [None, "old"])
def test_a_killed_writer_leaves_what_was_there(tmp_path, old):
    path = tmp_path / "x.txt"
    if old is not None:
        path.write_text(old)
    kill(start(WRITE_FOREVER, path))
    assert path.exists() == (old is not None)
    assert old is None or path.read_text() == old
    write_text(path, "new")  # what the kill left behind is in nobody's way
    assert path.read_text() == "new"


# --- locked -------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from src.common.files import locked

with locked(Path(sys.argv[1]), "trains fold 3"):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_held_folder_is_refused_with_the_holders_name(tmp_path):
    holder = start(HOLD, tmp_path)
    try:
        with pytest.raises(InputError) as refused, locked(tmp_path, "tests"):
            pass
        message = str(refused.value)
        assert str(tmp_path) in message
        assert f"process {holder.pid} on {os.uname().nodename} trains fold 3 since" in message
        assert "wait" in message
    finally:
        kill(holder)


def test_the_lock_goes_with_a_killed_holder(tmp_path):
    kill(start(HOLD, tmp_path))
    with locked(tmp_path, "tests"):
        assert f"process {os.getpid()}" in (tmp_path / ".lock").read_text()


def test_the_lock_goes_at_the_end_and_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new", "tests"):
        _ = 1 / 0
    for _ in range(2):
        with locked(tmp_path / "new", "tests"):
            pass


def test_a_holder_cannot_take_the_folder_twice(tmp_path):
    """Two runs started by one notebook kernel are two holders."""
    with (
        locked(tmp_path, "first"),
        pytest.raises(InputError, match="first since"),
        locked(tmp_path, "second"),
    ):
        pass
