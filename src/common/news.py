"""News of what takes long: a line now and then, on standard output.

A notebook keeps the lines below its cell, the runner of the notebooks passes them on to the
terminal, and a log holds nothing but plain lines.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

EVERY = 5.0  # seconds between two lines of one loop
Item = TypeVar("Item")


def say(text: str) -> None:
    """Print a line at once, also where standard output is a pipe."""
    print(text, flush=True)


def counted(
    items: Iterable[Item], what: str, unit: str, total: int | None = None
) -> Iterator[Item]:
    """Pass the items on, one by one; say how many are done, and how long the rest will take.

    `unit` is what an item is, in the plural; `total` how many there are, if `items` has no length.
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
