"""Files that are whole or absent, and folders that one process holds at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from src.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file, flush it to disk, then rename it to `path`.

    A kill or a full disk leaves the old file, or none; never half a file under the final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process number keeps two writers apart; the suffix stays, because writers go by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file atomically."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> Path:
    """Write a JSON file atomically."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder for one process; the lock goes with the process, however it ends.

    Args:
        folder: made if it is not there; the lock is its file `.lock`.
        doing: what the holder does, for the message that others get.

    Raises:
        InputError: another process holds it; says which, and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise InputError(
                f"{folder}: expected to be the only one here, but {file.read().strip()}; wait for "
                "it to end, or choose another folder"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename} {doing} since {time.ctime()}")
        file.flush()
        yield


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
