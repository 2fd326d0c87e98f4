"""Pickles of float arrays, and nothing else: a pickle may run any code when it is opened.

The published motion files are pickles from Python 2 and 3. Only the names that numpy needs to
rebuild an array are allowed; everything else is refused before it is called.
"""

from __future__ import annotations

import codecs
import io
import pickle
from pathlib import Path

import numpy as np

from src.common.errors import InputError

# numpy's own array makers, wherever this version keeps them: up to protocol 4, and 5.
_REBUILD, _FROM_BUFFER = np.empty(0).__reduce__()[0], np.ones(1).__reduce_ex__(5)[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy._core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,  # how protocol 2 spells bytes
    ("__builtin__", "bytes"): bytes,  # and none of them
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def read_arrays(path: Path) -> object:
    """The dicts, lists, tuples, strings and arrays in a pickle.

    Raises:
        InputError: no such file, a truncated one, or one that holds anything but arrays.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{path}: expected a pickle of numpy arrays, could not read it ({reason}); it is "
            "truncated, or not a motion file"
        ) from None


def float_array(value: object, path: Path, what: str) -> np.ndarray:
    """The value as a float array without NaN.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{path}: {what} must be an array of floats, got {kind}")
    if not np.isfinite(value).all():
        bad = int((~np.isfinite(value)).sum())
        raise InputError(f"{path}: {what} holds {bad} values that are not finite")
    return value
