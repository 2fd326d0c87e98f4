"""Checkpoints and motion pickles of any bytes: plain values, or one clear error; nothing runs."""

import io
import os
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.common import checkpoint
from src.common.errors import InputError
from src.motion.data.formats.dip import read_dip
from src.motion.data.formats.pickles import read_arrays
from tests.fuzz.cases import case, fuzzing


@cache
def whole(protocol: int | None) -> bytes:
    """A motion pickle, or without a protocol a checkpoint."""
    if protocol is not None:
        poses = np.tile(np.eye(3, dtype=np.float32).ravel(), (4, 15))
        return pickle.dumps({"poses": poses}, protocol)
    state = {"weights": {"a": torch.arange(6.0)}, "epoch": 4, "history": [{"loss": 0.5}]}
    torch.save(state, file := io.BytesIO())
    return file.getvalue()


PLACE = st.floats(0, 1, exclude_max=True)


@fuzzing(250)
@given(
    protocol=st.sampled_from((None, 0, 2, 4, 5)),
    hits=st.lists(st.tuples(PLACE, st.integers(0, 255)), max_size=6),
    cut=st.none() | PLACE,
)
def test_a_damaged_checkpoint_or_motion_pickle(tmp_path, protocol, hits, cut):
    spoilt, path = bytearray(whole(protocol)), tmp_path / "a.pkl"
    for place, value in hits:
        spoilt[int(place * len(spoilt))] = value
    path.write_bytes(spoilt if cut is None else spoilt[: int(cut * len(spoilt))])
    with case(path):
        if protocol is None:
            assert isinstance(checkpoint.load(path), dict)
        else:
            assert np.isfinite(read_dip(path).rotations).all()


class _Calls:
    """Asks for a call of anything when it is opened."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


CALLS = st.builds(
    _Calls,
    st.sampled_from(
        (eval, exec, open, getattr, Path, np.load, np.fromfile, __import__, pickle.loads)
    ),
    st.sampled_from(("1", "os", "/etc/passwd")),
)
PLAIN = st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=4)


@fuzzing(60)
@given(
    values=st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    call=CALLS,
    protocol=st.integers(0, 5),
    read=st.sampled_from((checkpoint.load, read_arrays)),
)
def test_a_call_is_never_made(tmp_path, values, call, protocol, read):
    path = tmp_path / "evil.pkl"
    if read is checkpoint.load:
        torch.save({"values": values, "call": call}, path)
    else:
        path.write_bytes(pickle.dumps({"poses": values, "call": call}, protocol))
    with case(path):
        read(path)
        raise AssertionError("a pickle that calls was let in")


def pickled(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize(
    ("read", "write"),
    [
        pytest.param(checkpoint.load, torch.save, id="a checkpoint"),
        pytest.param(checkpoint.load, pickled, id="a pickle in the place of a checkpoint"),
        pytest.param(read_arrays, pickled, id="a motion pickle"),
    ],
)
def test_what_is_refused_was_not_called_first(tmp_path, read, write):
    path, mark = tmp_path / "evil.pkl", tmp_path / "called"
    call = _Calls(os.mkdir, str(mark))
    pickle.loads(pickle.dumps(call))
    assert mark.exists()  # by anybody who is not careful
    mark.rmdir()
    write({"poses": call}, path)
    with pytest.raises(InputError, match=r"evil\.pkl"):
        read(path)
    assert not mark.exists()
