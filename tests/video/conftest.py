"""What tests of videos need: the interpreter that has mediapipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.common.environments import Unavailable
from src.video import environment


@pytest.fixture(scope="session")
def mediapipe() -> Path:
    """The interpreter with mediapipe; without it the test is skipped."""
    try:
        return environment.interpreter()
    except Unavailable as reason:
        pytest.skip(str(reason))
