"""The one error class for faults that a user can fix."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """A file, a folder, a parameter or anything else outside this code is wrong.

    The message names where (file, field), what was expected, what was found, and what to do; the
    runner and the command lines print it alone, without a traceback. Names from a file can hold any
    character, so unprintable ones are escaped: none moves a terminal's cursor or fakes a line.
    """

    def __str__(self) -> str:
        return "".join(
            c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in super().__str__()
        )


@contextmanager
def refusing(where: object, expected: str, to_do: str) -> Iterator[None]:
    """Turn whatever is raised for a missing or damaged file into one clear error.

    Raises:
        InputError: names the file, what was expected, what was found, and what to do.
    """
    try:
        yield
    except (InputError, MemoryError):  # a lack of memory is not the file's fault
        raise
    except PermissionError as error:  # this says nothing about the file's content
        raise InputError(
            f"{where}: expected {expected}, found {error.strerror}; change its permissions"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{where}: expected {expected}, found no such file; {to_do}") from error
    except Exception as error:  # readers raise anything for damaged files, such as BadZipFile
        found = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{where}: expected {expected}, found {found}; {to_do}") from error


@contextmanager
def reporting() -> Iterator[None]:
    """End a command that meets an InputError: one line, no traceback, exit code 1."""
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")


def check_choice(name: str, found: object, choices: Sequence) -> None:
    """Refuse a notebook's parameter whose value is not one of the choices.

    Raises:
        InputError: names the parameter, its choices, and what was found.
    """
    if found not in choices:
        raise InputError(f"{name}: expected {' or '.join(map(repr, choices))}, found {found!r}")


def raised_at(error: BaseException, but: str) -> str:
    """Where an error was raised: ", in file:line" for the last two places outside libraries.

    Places in the file `but`, the caller's own, are left out; "" if no place remains.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/lib/python3" not in f.filename and f.filename != but]
    return "".join(f", in {os.path.relpath(frame.filename)}:{frame.lineno}" for frame in own[-2:])
