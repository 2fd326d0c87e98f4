"""The history of a training: a record per epoch, and the best weights so far."""

import time
from pathlib import Path

import pandas as pd
from torch import Tensor

from src.common.files import write_atomically
from src.recipes.ingredients import EarlyStopping
from src.training.roles import Trainee

Record = dict[str, float | int]


class History:
    """The records of the epochs so far, and their csv file.

    Its columns are epoch, rate, seconds and <role>_loss of the training steps. A tested epoch also
    has <role>_accuracy and <role>_test_loss on held-out clips, <role>_train_accuracy and
    <role>_train_loss on training clips. If the best epoch is chosen, there are choosing_accuracy
    and choosing_loss of the leader on the choosing clips.
    """

    def __init__(self, path: Path):
        self.path = path
        self.records: list[Record] = []
        self._started = time.monotonic()

    def add(self, record: Record) -> None:
        """Append the record of one epoch, with the seconds since the previous one."""
        now = time.monotonic()
        self.records.append(record | {"seconds": now - self._started})
        self._started = now

    def brief(self) -> str:
        """The last loss and held-out accuracy of every role, in a line."""
        last: Record = {}
        for record in self.records:
            last |= {key: value for key, value in record.items() if key.count("_") == 1}
        return ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in last.items())

    def write(self) -> None:
        """Replace the csv."""
        table = pd.DataFrame(self.records)
        write_atomically(self.path, lambda path: table.to_csv(path, index=False))


class Best:
    """The weights with the best accuracy so far, and how long they have been the best.

    Args:
        stop: how many tests to wait for a better one; None = keep no weights.
    """

    def __init__(self, stop: EarlyStopping | None):
        self.stop = stop
        self.accuracy, self.tests_since = -1.0, 0
        self.weights: dict[str, Tensor] = {}

    def consider(self, record: Record, trainee: Trainee) -> None:
        """Keep the leader's weights if this test's accuracy is the best."""
        if self.stop is None:
            return
        accuracy = record["choosing_accuracy"]
        self.tests_since += 1
        if accuracy > self.accuracy:
            self.accuracy, self.tests_since = accuracy, 0
            state = trainee.leader.state_dict()
            self.weights = {name: value.clone() for name, value in state.items()}

    @property
    def exhausted(self) -> bool:
        """True when the recipe's patience is used up."""
        return self.stop is not None and self.tests_since >= self.stop.patience

    def state_dict(self) -> dict:
        """The state that `load_state_dict` restores."""
        names = ("accuracy", "tests_since", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict) -> None:
        """Restore the state that `state_dict` returned."""
        self.accuracy, self.tests_since = state["accuracy"], state["tests_since"]
        self.weights = state["weights"]
