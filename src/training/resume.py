"""The state of a training on disk: saved after every epoch, checked before a training goes on.

torch's optimisers accept any state that they are given, and fail a step later, far from the file
that was wrong. So a state is compared with the training's own, part by part, before it is loaded.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from src.common import checkpoint
from src.common.errors import InputError, refusing
from src.common.marks import changes
from src.common.news import say
from src.recipes.ingredients import Optimiser
from src.training import optim
from src.training.history import Best, History
from src.training.loop import Loop

EXPECTED = "the state of this very training"
DELETE = "delete it, and the training starts again"


@dataclass(frozen=True)
class State:
    """The state that the next epoch depends on, and the file that holds it."""

    path: Path  # last.pt
    made_from: dict  # the recipe, the clips and the seed, as values that JSON can hold
    loop: Loop  # models, optimiser, averages
    best: Best
    history: History

    def save(self, epoch: int) -> None:
        """Write last.pt and the history after an epoch."""
        checkpoint.save(self.path, self._parts(epoch))
        self.history.write()

    def load(self) -> int:
        """Load last.pt if there is one; returns the first epoch to train.

        Raises:
            InputError: the file is damaged, or of another recipe, other clips, seed or version.
        """
        if not self.path.is_file():
            return 0
        state = checkpoint.load(self.path, self.loop.processes.device)
        with refusing(self.path, EXPECTED, DELETE):
            # Until November 2026 a state did not hold these.
            since = ("seed", "weights of", "clip files", "clip contents")
            newer = {k: v for k, v in self.made_from.items() if k in since}
            state["made_from"] = newer | state["made_from"]
            state.setdefault("micro_batch", self.loop.micro_batch)
            if changed := changes(state["made_from"], self.made_from):
                raise InputError(
                    f"{self.path}: expected {EXPECTED}, found one of other values: "
                    f"{', '.join(changed)}; choose another run folder, or {DELETE}"
                )
            # Training in bfloat16 or float32 leaves an empty scaler; fp16 starts with a new one.
            loop = state["loop"]
            loop["scaler"] = loop["scaler"] or self.loop.scaler.state_dict()
            compare(state, self._parts(0), "state")
            compare_records(state["history"], state["epoch"])
            if weights := state["best"]["weights"]:  # there are some from the first test on
                compare(weights, self.loop.trainee.leader.state_dict(), "best weights")
            self.loop.load_state_dict(state["loop"])
            self._take_micro_batch(state["micro_batch"])
            check_optimiser(self.loop.optimiser, self.loop.recipe.optimiser)
            self.best.load_state_dict(state["best"])
            self.history.records = state["history"]
        if self.loop.processes.writes:
            self.history.write()  # a kill may have come between the checkpoint and the table
        return len(self.history.records)

    def _take_micro_batch(self, before: int) -> None:
        """Go on with micro-batches of the same size: random draws and batch norms depend on it."""
        loop = self.loop
        if not loop.settings.micro_batch and 1 <= before <= loop.micro_batch:
            loop.micro_batch = int(before)
        elif before != loop.micro_batch and loop.processes.writes:
            say(
                f"{self.path}: {before} clips at a time so far, {loop.micro_batch} from now on: "
                "the history will not be that of an unbroken training"
            )

    def _parts(self, epoch: int) -> dict:
        return {
            "made_from": self.made_from,
            "epoch": epoch,
            "micro_batch": self.loop.micro_batch,
            "loop": self.loop.state_dict(),
            "best": self.best.state_dict(),
            "history": self.history.records,
        }


def compare(found: object, own: object, at: str) -> None:
    """Compare a state with what the training itself would save before its first step.

    Keys, shapes and types must agree, unless our own part is empty. `at` is the place in the file.

    Raises:
        ValueError: a part is missing, or of another kind.
    """
    if _kind(found) != _kind(own):
        raise ValueError(f"{at}: {_kind(own)} expected, not {_kind(found)}")
    if isinstance(own, dict):
        if missing := [str(key) for key in own if key not in found]:
            raise ValueError(f"{at}: without {', '.join(missing)}")
        for key, value in own.items():
            compare(found[key], value, f"{at}.{key}")
    elif isinstance(own, list | tuple) and own:
        if len(found) != len(own):
            raise ValueError(f"{at}: {len(own)} expected, not {len(found)}")
        for number, value in enumerate(own):
            compare(found[number], value, f"{at}.{number}")


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    if isinstance(value, list | tuple):
        return "a list"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"


def compare_records(found: list, last: object) -> None:
    """Check that a history has a record of numbers for every epoch up to `last`, counted from 0.

    Raises:
        ValueError: it does not.
    """
    if type(last) is not int or len(found) != last + 1:
        raise ValueError(f"history: a list of the epochs to {last!r} expected")
    for number, record in enumerate(found):
        compare(record, {"epoch": 0, "rate": 0.0, "seconds": 0.0}, f"history.{number}")
        if record["epoch"] != number + 1 or {_kind(v) for v in record.values()} != {"a number"}:
            raise ValueError(f"history.{number}: numbers of epoch {number + 1} expected")


def check_optimiser(optimiser: torch.optim.Optimizer, config: Optimiser) -> None:
    """Check an optimiser's state for each parameter, which torch would only read in the next step.

    Raises:
        ValueError: the state is not what this kind of optimiser keeps after a step.
    """
    probe = nn.Linear(1, 1, bias=False)
    probe.weight.grad = torch.zeros_like(probe.weight)
    known = optim.build(config, [probe])
    known.step()
    (expected,) = _inner(known).state.values()
    for parameter, found in _inner(optimiser).state.items():
        if not isinstance(parameter, Tensor):
            raise ValueError(f"loop.optimiser: parameter {parameter!r} is none of the networks'")
        own = {
            key: parameter if isinstance(value, Tensor) and value.dim() else value
            for key, value in expected.items()
        }
        compare(found, own, "loop.optimiser.state")


def _inner(optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimiser inside Lookahead, which keeps its own state separately."""
    return getattr(optimiser, "optimizer", optimiser)
