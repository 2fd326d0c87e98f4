"""Checkpoints and motion pickles of any bytes: plain values, or one clear error; nothing runs."""

from __future__ import annotations

import io
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.common import checkpoint
from src.motion.data.formats.dip import read_dip
from src.motion.data.formats.pickles import read_arrays
from tests.fuzz.cases import case, fuzzing


@cache
def whole_checkpoint() -> bytes:
    state = {"weights": {"a": torch.arange(6.0)}, "epoch": 4, "history": [{"loss": 0.5}]}
    torch.save(state, file := io.BytesIO())
    return file.getvalue()


@cache
def whole_pickle(protocol: int) -> bytes:
    poses = np.tile(np.eye(3, dtype=np.float32).ravel(), (4, 15))
    return pickle.dumps({"poses": poses}, protocol)


places = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


def damaged(data: bytes, hits: list[tuple[float, int]], cut: float | None) -> bytes:
    spoilt = bytearray(data)
    for place, value in hits:
        spoilt[int(place * len(spoilt))] = value
    return bytes(spoilt if cut is None else spoilt[: int(cut * len(spoilt))])


@fuzzing(100)
@given(hits=places, cut=st.none() | st.floats(0, 1, exclude_max=True))
def test_a_damaged_checkpoint(tmp_path, hits, cut):
    path = tmp_path / "a.pt"
    path.write_bytes(damaged(whole_checkpoint(), hits, cut))
    with case("checkpoint", str(path)):
        assert isinstance(checkpoint.load(path), dict)


@fuzzing(150)
@given(
    kind=st.sampled_from((0, 2, 4, 5)),
    hits=places,
    cut=st.none() | st.floats(0, 1, exclude_max=True),
)
def test_a_damaged_motion_pickle(tmp_path, kind, hits, cut):
    path = tmp_path / "a.pkl"
    path.write_bytes(damaged(whole_pickle(kind), hits, cut))
    with case("motion pickle: damaged", str(path)):
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
    kind=st.sampled_from(("motion pickle: call", "checkpoint: call")),
)
def test_a_call_is_never_made(tmp_path, values, call, protocol, kind):
    path = tmp_path / "evil.pkl"
    if kind.startswith("checkpoint"):
        torch.save({"values": values, "call": call}, path)
    else:
        path.write_bytes(pickle.dumps({"poses": values, "call": call}, protocol))
    read = checkpoint.load if kind.startswith("checkpoint") else read_arrays
    with case(kind, str(path)):
        read(path)
        raise AssertionError("a pickle that calls was let in")
