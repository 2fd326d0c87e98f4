"""Checkpoints are whole, and are never a way in."""

import pickle

import pytest
import torch

from src.common import checkpoint
from src.common.errors import InputError


def test_round_trip(tmp_path):
    state = {"weights": torch.arange(3.0), "epoch": 4, "history": [{"loss": 0.5}]}
    checkpoint.save(tmp_path / "a.pt", state)
    loaded = checkpoint.load(tmp_path / "a.pt")
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state


class _Malice:
    def __reduce__(self):
        return (print, ("pwned",))


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "truncated", "text", "tensors", "pickle", "list"]
)
def test_anything_else_is_one_clear_error(tmp_path, kind, capsys):
    path = tmp_path / "a.pt"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        torch.save({"a": torch.zeros(1000)}, path)
        path.write_bytes(path.read_bytes()[:700])
    elif kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "tensors":
        torch.save({"a": _Malice()}, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(_Malice()))
    elif kind == "list":
        torch.save([1, 2], path)
    with pytest.raises(InputError, match=r"a\.pt"):
        checkpoint.load(path)
    assert "pwned" not in capsys.readouterr().out
