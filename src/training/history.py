"""What a training remembers of its tests: a record per epoch, and the best weights so far."""

import time
from pathlib import Path

import pandas as pd
from torch import Tensor

from src.common.files import write_atomically
from src.recipes.ingredients import EarlyStopping
from src.training.roles import Trainee

Record = dict[str, float | int]


class History:
    """Records of the epochs so far, and the csv file of them.

    Its columns are epoch, rate, seconds and <role>_loss of the training steps; of a tested epoch
    also <role>_accuracy and <role>_test_loss on held-out clips, <role>_train_accuracy and
    <role>_train_loss on training clips; where an epoch is chosen, choosing_accuracy and
    choosing_loss of the leader on those clips.
    """

    def __init__(self, path: Path):
        self.path = path
        self.records: list[Record] = []
        self._started = time.monotonic()

    def add(self, record: Record) -> None:
        """Append one epoch, with the seconds since the one before."""
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
        stop: how many tests to wait for better ones; None = nothing is kept.
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
        """True when the recipe says to stop."""
        return self.stop is not None and self.tests_since >= self.stop.patience

    def state_dict(self) -> dict:
        """What `load_state_dict` needs to go on."""
        names = ("accuracy", "tests_since", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken."""
        self.accuracy, self.tests_since = state["accuracy"], state["tests_since"]
        self.weights = state["weights"]
