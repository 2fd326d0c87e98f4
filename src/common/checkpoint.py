"""Checkpoints: written whole or not at all, and loaded without running code from a pickle."""

import hashlib
import warnings
from pathlib import Path

import torch
from torch import Tensor

from src.common.errors import InputError, refusing
from src.common.files import write_atomically
from src.common.marks import DIGEST


def save(path: Path, state: dict) -> None:
    """Write tensors and plain values; a kill leaves the old file or the new one."""
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def load(path: Path, device: torch.device | str = "cpu") -> dict:
    """Read a checkpoint of tensors and plain values.

    Raises:
        InputError: the file is missing, unreadable or damaged, or holds anything else.
    """
    with refusing(path, "a checkpoint of tensors and plain values", "delete it and train again"):
        if not path.exists():
            raise InputError(f"{path}: expected a checkpoint, found no file; train first")
        try:
            with warnings.catch_warnings(action="ignore"):  # torch asks users to report odd pickles
                state = torch.load(path, map_location=device, weights_only=True)
        except torch.OutOfMemoryError as error:  # the file itself is fine
            raise MemoryError(str(error)) from error
        if not isinstance(state, dict):
            raise TypeError(f"a {type(state).__name__} instead of a dict")
    return state


def digest(weights: dict[str, Tensor]) -> str:
    """A digest of names and values; the file's own would also depend on the writer's process id."""
    found = hashlib.sha256()
    for name, value in weights.items():
        found.update(name.encode() + value.cpu().numpy().tobytes())
    return DIGEST + found.hexdigest()
