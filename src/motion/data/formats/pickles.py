"""Pickles of float arrays, read without running the functions that they name.

The published motion files are pickles of Python 2 and 3, and a pickle may call any function when
it is opened. Here only the functions that rebuild numpy's arrays are allowed; any other name is
refused before it is called.
"""

import codecs
import io
import pickle
from pathlib import Path

import numpy as np

from src.common.errors import InputError, refusing

# The functions that pickled arrays call, up to protocol 4 and in 5; numpy has moved them since.
_REBUILD, _FROM_BUFFER = np.empty(0).__reduce__()[0], np.ones(1).__reduce_ex__(5)[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy._core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,  # bytes in protocol 2
    ("__builtin__", "bytes"): bytes,  # empty bytes in protocol 2
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def read_arrays(path: Path) -> object:
    """The dicts, lists, tuples, strings and arrays in a pickle.

    Raises:
        InputError: the file is missing, truncated, or holds anything else.
    """
    with refusing(path, "a pickle of numpy arrays", "copy it again, or leave it out"):
        return _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()


def float_array(value: object, path: Path, what: str) -> np.ndarray:
    """The value, which must be an array of finite floats.

    Raises:
        InputError: the value is anything else; the message calls it `what`.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{path}: {what} must be an array of floats, found {kind}")
    if not np.isfinite(value).all():
        bad = int((~np.isfinite(value)).sum())
        raise InputError(f"{path}: {what} must be finite, {bad} of its values are not")
    return value
