"""Progress of long work: a line now and then, on standard output.

A notebook keeps the lines below its cell, the runner of the notebooks passes them on to the
terminal, and a log holds nothing but plain lines.
"""

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import AbstractContextManager
from typing import TypeVar

EVERY = 5.0  # seconds between two lines of one loop
CLEAR_LINE = "\r\x1b[K"
Item = TypeVar("Item")


def say(text: str) -> None:
    """Print a line at once, even where standard output is a pipe."""
    print(text, flush=True)


def counted(
    items: Iterable[Item], what: str, unit: str, total: int | None = None
) -> Iterator[Item]:
    """Pass the items on, one by one; say how many are done, and how long the rest will take.

    `unit` names the items, in the plural; `total` is their number, if `items` has no length.
    """
    total = total or (len(items) if isinstance(items, Sized) else None)
    started = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - said >= EVERY:
            of = f" of {total:,}" if total else ""
            left = f", {minutes((now - started) / done * (total - done))}" if total and done else ""
            say(f"{what}: {done:,}{of} {unit}{left}")
            said = now
        yield item


def minutes(seconds: float) -> str:
    """How long something will take, in words."""
    return f"{seconds / 60:.1f} min left" if seconds >= 60 else f"{seconds:.0f} s left"


class Terminal(AbstractContextManager):
    """Shows a notebook's progress: on a terminal in one changing line, in a log line by line."""

    def __init__(self) -> None:
        self.overwrites = sys.stdout.isatty()

    def __exit__(self, *error: object) -> None:
        if self.overwrites:
            sys.stdout.write(CLEAR_LINE)
            self.flush()

    def write(self, text: str) -> None:
        """Show the lines of a text."""
        for line in filter(str.strip, text.splitlines()):
            if self.overwrites:
                width = shutil.get_terminal_size().columns - 1
                sys.stdout.write(f"{CLEAR_LINE}      {line}"[: width + len(CLEAR_LINE)])
            else:
                sys.stdout.write(f"      {line}\n")

    def flush(self) -> None:
        """Bring the text to the screen."""
        sys.stdout.flush()
