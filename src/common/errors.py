"""The one error class for what a user can put right."""

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """Something outside this code is not as it must be.

    The message names where (file, field), what was expected, what was found, and what to do; the
    runner and the command lines print it alone, without a traceback. What a file names can hold
    anything; here nothing of it moves a terminal's cursor or looks like another line.
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
    except (InputError, MemoryError):  # too little memory is no fault of the file
        raise
    except PermissionError as error:  # which says nothing of what is in the file
        raise InputError(
            f"{where}: expected {expected}, found {error.strerror}; change its permissions"
        ) from error
    except Exception as error:  # readers raise anything for damaged files, such as BadZipFile
        found = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{where}: expected {expected}, found {found}; {to_do}") from error


def check_choice(name: str, found: object, choices: Sequence) -> None:
    """Refuse a parameter of a notebook that is none of its choices.

    Raises:
        InputError: names the parameter, its choices, and what was found.
    """
    if found not in choices:
        raise InputError(f"{name}: expected {' or '.join(map(repr, choices))}, found {found!r}")


def raised_at(error: BaseException, but: str) -> str:
    """Where an error was raised: ", in file:line", the last two places outside of libraries.

    Places in the file `but`, which asks, are left out; "" if there is no other.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/lib/python3" not in f.filename and f.filename != but]
    return "".join(f", in {os.path.relpath(frame.filename)}:{frame.lineno}" for frame in own[-2:])
