"""Files that are whole or absent, and folders that one process holds at a time."""

import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from src.common.errors import InputError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM_SAID = ("inline_container", " requested and ")  # in torch's and numpy's messages
# A file is where the folder or one of its parents should be, or the name is too long.
_NO_FOLDER = (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG)
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp(\.\w+)?")  # names given by `write_atomically`


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` write a temporary file, flush it to disk, then rename it to `path`.

    A kill or a full disk leaves the old file, or none; never half a file under the final name.

    Raises:
        InputError: see `needing_room`.
    """
    # The process id keeps two writers apart. Libraries choose the format by the suffix.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    with needing_room(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


@contextmanager
def needing_room(path: Path) -> Iterator[None]:
    """Turn the error of a file system that cannot take a file into one that says what to do.

    Raises:
        InputError: the file system is full or read-only, or the folder cannot be made or written
            in.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if _is_closed(path.parent, error):
            raise InputError(
                f"{path.parent}: expected a folder to write in, found {error.strerror or error}; "
                "choose another one, or change its permissions"
            ) from error
        told = any(words in str(error) for words in _NO_ROOM_SAID)
        if getattr(error, "errno", None) not in _NO_ROOM and not told:
            raise
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(
            f"{path}: expected room to write it, found none ({reason}); earlier files are whole: "
            "make room and run the same command again; it goes on from what is finished"
        ) from error


def _is_closed(folder: Path, error: OSError | RuntimeError) -> bool:
    """True if the error means that this folder, not some other one, cannot be written in.

    The folder may not exist yet.
    """
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        while not os.path.exists(folder):
            folder = folder.absolute().parent
        return not os.access(folder, os.W_OK)
    return number == errno.EROFS or (number in _NO_FOLDER and not os.path.isdir(folder))


def write_text(path: Path, text: str) -> Path:
    """Write a text file atomically."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> Path:
    """Write a JSON file atomically."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder for one process; the lock is released when the process ends, however it ends.

    Args:
        folder: made if it does not exist; the lock is its file `.lock`, which names the holder.
        doing: what this process does there, for the message that other processes get.

    Raises:
        InputError: another process holds the folder (the message says which process, and since
            when), or the folder is read-only, or there is no room.
    """
    path = folder / ".lock"
    # A soft lock, for file systems without locks, would outlive a killed process.
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        with needing_room(path):
            folder.mkdir(parents=True, exist_ok=True)
            held = lock.acquire()
    except Timeout as error:
        holder = path.read_text(encoding="utf-8").strip() or "another process just started"
        raise InputError(
            f"{folder}: expected to be the only one here, but {holder}; wait for it to end and run "
            f"the same command again; if no such process runs there, delete {path}"
        ) from error
    except OSError as error:  # such as links that form a circle
        raise InputError(
            f"{folder}: expected a folder to write in, found {error.strerror}; choose another one"
        ) from error
    with held:
        holder = f"process {os.getpid()} on {os.uname().nodename} {doing} since {time.ctime()}"
        with needing_room(path):
            path.write_text(holder, encoding="utf-8")
        _sweep(folder)
        yield


def _sweep(folder: Path) -> None:
    """Delete the temporary files of killed writers, which can be as large as a whole store."""
    for path in folder.glob(".*.tmp*"):
        if named := _TEMPORARY.fullmatch(path.name):
            try:
                os.kill(int(named[1]), 0)  # signal 0 only asks whether the process is there
            except (ProcessLookupError, OverflowError):
                path.unlink(missing_ok=True)
            except PermissionError:
                pass  # it is there, but belongs to another user


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(path: Path | str) -> tuple[int, int]:
    """The size and time of a file, which show a change without reading the content."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns
