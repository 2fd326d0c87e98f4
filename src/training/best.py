"""The best weights so far, and when to stop looking for better ones."""

from __future__ import annotations

from torch import Tensor

from src.recipes.base import Recipe
from src.training.roles import Trainee


class Best:
    """The weights with the best held-out accuracy so far, and how long they have been the best.

    Args:
        recipe: its `stop` says how many tests to wait for better ones; without it nothing is kept.
    """

    def __init__(self, recipe: Recipe):
        self.stop = recipe.stop
        self.accuracy, self.tests_since = -1.0, 0
        self.weights: dict[str, Tensor] = {}

    def consider(self, record: dict[str, float | int], trainee: Trainee) -> None:
        """Keep the leader's weights if this test's accuracy is the best."""
        if self.stop is None:
            return
        accuracy = record[f"{trainee.leading}_accuracy"]
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
        return {
            "accuracy": self.accuracy, "tests_since": self.tests_since, "weights": self.weights
        }  # fmt: skip

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken."""
        self.accuracy, self.tests_since = state["accuracy"], state["tests_since"]
        self.weights = state["weights"]
