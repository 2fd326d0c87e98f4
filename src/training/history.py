"""The history of a training: a record per epoch, kept as a table."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd

from src.common.files import write_atomically


class History:
    """Records of the epochs so far.

    Args:
        path: the csv that `write` replaces. Its columns are epoch, rate, seconds and <role>_loss of
            the training steps; of a tested epoch also <role>_accuracy and <role>_test_loss on
            held-out clips, <role>_train_accuracy and <role>_train_loss on training clips.
    """

    def __init__(self, path: Path):
        self.path = path
        self.records: list[dict[str, float | int]] = []
        self._started = time.monotonic()

    def add(self, record: dict[str, float | int]) -> None:
        """Append one epoch, with the seconds since the one before."""
        now = time.monotonic()
        self.records.append(record | {"seconds": now - self._started})
        self._started = now

    def load(self, records: list[dict[str, float | int]]) -> None:
        """Go on after earlier records."""
        self.records = list(records)

    def brief(self) -> dict[str, str]:
        """The last loss and held-out accuracy of every role, for a progress bar."""
        last: dict[str, float | int] = {}
        for record in self.records:
            last |= {key: value for key, value in record.items() if key.count("_") == 1}
        return {key: f"{value:.3f}" for key, value in last.items()}

    def write(self) -> None:
        """Replace the csv."""
        table = pd.DataFrame(self.records)
        write_atomically(self.path, lambda path: table.to_csv(path, index=False))
