"""The drawn signer that the tests film."""

from __future__ import annotations

import numpy as np

from src.video import drawn
from src.video.drawn import SIZE

__all__ = ["SIZE", "picture"]


def picture(up: float) -> np.ndarray:
    """(480, 480, 3) uint8: the figure facing us, its right arm (left for us) raised by 0 to 1."""
    return drawn.picture((115 - 10 * up, 430 - 260 * up))
