"""What every fuzzed case shares: how many are tried, what counts as an answer, and the count.

A case ends in an answer, which the test checks, or in one clear InputError: one line that names
where. Anything else is a failure: another exception is a traceback from the depths.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings

from src.common.errors import InputError

FUZZ = os.environ.get("FUZZ") == "1"
TIMES = int(os.environ.get("FUZZ_TIMES", "40"))  # so many more cases with FUZZ=1

_shared = {
    "deadline": None,  # a first case loads libraries
    "suppress_health_check": list(HealthCheck),
}
settings.register_profile("seeded", derandomize=True, **_shared)
settings.register_profile("fuzz", print_blob=True, **_shared)  # other cases every time


def fuzzing(examples: int) -> settings:
    """So many seeded cases; with FUZZ=1 many more, drawn anew."""
    profile = settings.get_profile("fuzz" if FUZZ else "seeded")
    return settings(profile, max_examples=examples * (TIMES if FUZZ else 1))


TALLY: dict[str, Counter[str]] = defaultdict(Counter)  # what is fuzzed -> how its cases ended


@contextmanager
def case(what: str, where: str = "") -> Iterator[None]:
    """One case: an InputError passes if it is one line and says `where`, all else is raised."""
    count = TALLY[what]
    count["tried"] += 1
    try:
        yield
    except InputError as error:
        message = str(error)
        clear = where in message and len(message.splitlines()) == 1
        count["refused" if clear else "failed"] += 1
        assert clear, f"expected one line that names {where!r}, found: {message}"
    except BaseException:
        count["failed"] += 1
        raise
    else:
        count["answered"] += 1
