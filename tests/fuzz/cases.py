"""What every fuzzed case shares: how many are tried, and what counts as an answer.

A case ends in an answer, which the test checks, or in one clear InputError: one line that names
where. Anything else is a failure: another exception is a traceback from the depths. How many were
answered and how many refused is in `--hypothesis-show-statistics`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, event, settings

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


@contextmanager
def case(where: object = "") -> Iterator[None]:
    """One case: an InputError passes if it is one line and says `where`, all else is raised."""
    try:
        yield
    except InputError as error:
        event("refused")
        message = str(error)
        clear = str(where) in message and len(message.splitlines()) == 1
        assert clear, f"expected one line that names {where}, found: {message}"
    else:
        event("answered")
