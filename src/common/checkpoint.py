"""Checkpoints: whole or absent, and loaded without running what a pickle says."""

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
        InputError: the file is missing, not readable or damaged, or holds anything else.
    """
    with refusing(path, "a checkpoint of tensors and plain values", "delete it and train again"):
        if not path.exists():
            raise InputError(f"{path}: expected a checkpoint, found no file; train first")
        try:
            with warnings.catch_warnings(action="ignore"):  # torch asks for reports of odd pickles
                state = torch.load(path, map_location=device, weights_only=True)
        except torch.OutOfMemoryError as error:  # the file is none the worse
            raise MemoryError(str(error)) from error
        if not isinstance(state, dict):
            raise TypeError(f"no dict but a {type(state).__name__}")
    return state


def digest(weights: dict[str, Tensor]) -> str:
    """A digest of names and numbers; that of a file would hold the number of its writer, too."""
    found = hashlib.sha256()
    for name, value in weights.items():
        found.update(name.encode() + value.cpu().numpy().tobytes())
    return DIGEST + found.hexdigest()
