"""Files that are whole or absent, and folders that one process holds at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from src.common.errors import InputError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp(\.\w+)?")  # as `write_atomically` names them


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file, flush it to disk, then rename it to `path`.

    A kill or a full disk leaves the old file, or none; never half a file under the final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process number keeps two writers apart; the suffix stays, because writers go by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with needing_room(path):
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


@contextmanager
def needing_room(path: Path) -> Iterator[None]:
    """Say that there is no room for a file, where the file system says so.

    Raises:
        InputError: it is full, or read-only.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise no_room(path, error.strerror) from error


def no_room(path: Path, reason: str) -> InputError:
    """The error for a file that its file system does not take."""
    return InputError(
        f"{path}: expected room to write it, found none ({reason}); what was there before is "
        "whole: make room and run the same command again, it goes on from what is finished"
    )


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
        InputError: another process holds it (says which, and since when), or it is read-only.
    """
    with _opened(folder / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process has just come"
            raise InputError(
                f"{folder}: expected to be the only one here, but {holder}; wait for it to end, or "
                "choose another folder"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename} {doing} since {time.ctime()}")
        file.flush()
        _sweep(folder)
        yield


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise InputError(
            f"{path.parent}: expected a folder to write in, found {error.strerror}; choose another "
            "one, or open this one to you"
        ) from error


def _sweep(folder: Path) -> None:
    """Delete the temporary files of killed writers: a store's can be as large as the store."""
    for path in folder.glob(".*.tmp*"):
        named = _TEMPORARY.fullmatch(path.name)
        if named and not _is_running(int(named[1])):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
