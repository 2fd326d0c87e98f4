"""Whether a state that was saved is one of this very training, before it goes on from there.

torch's optimisers take over any state that they are given, and fail a step later, far from the file
that was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from src.errors import InputError
from src.recipes.ingredients import Optimiser
from src.training import optim

DELETE = "delete it, and the training starts anew"
_TOLD = 200  # characters of an inner error


@contextmanager
def refusing_foreign(path: Path) -> Iterator[None]:
    """What does not fit a training is one clear error, wherever in the state it is.

    Raises:
        InputError: names the file, and what in it does not fit.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:_TOLD]
        raise InputError(
            f"{path}: expected the state of this very training, found another ({reason}); {DELETE}"
        ) from error


def compare(found: object, own: object, at: str) -> None:
    """Compare a state with one of its kind: keys, shapes, types; where ours is empty, nothing.

    Args:
        found: the state from a file.
        own: what the training itself would save before its first step.
        at: where in the file `found` is, for the message.

    Raises:
        ValueError: something is missing, or of another kind.
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
    for name, kinds in (("a list", list | tuple), ("a table", dict)):
        if isinstance(value, kinds):
            return name
    return f"a {type(value).__name__}"


def compare_records(found: object, last: object) -> None:
    """Check a history: a record of numbers for every epoch from the first to the last.

    Args:
        found: the records from a file.
        last: the number of the last epoch that is finished, from 0, as the file says it.

    Raises:
        ValueError: it is another.
    """
    if not isinstance(found, list) or type(last) is not int or len(found) != last + 1:
        raise ValueError(f"history: a list of the epochs to {last!r} expected")
    for number, record in enumerate(found):
        compare(record, {"epoch": 0, "rate": 0.0}, f"history.{number}")
        if record["epoch"] != number + 1 or {_kind(v) for v in record.values()} != {"a number"}:
            raise ValueError(f"history.{number}: numbers of epoch {number + 1} expected")


def check_optimiser(optimiser: torch.optim.Optimizer, config: Optimiser) -> None:
    """Check what an optimiser remembers of each parameter, which it only reads in its next step.

    Raises:
        ValueError: it is not what this kind of optimiser remembers after a step.
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
    """What Lookahead is wrapped around, which keeps the state of its own apart."""
    return getattr(optimiser, "optimizer", optimiser)
