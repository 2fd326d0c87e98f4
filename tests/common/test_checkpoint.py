"""Checkpoints are whole. That they are never a way in: tests/fuzz/test_pickles.py."""

from unittest.mock import Mock

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


@pytest.mark.parametrize(
    "write",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not a checkpoint"),
        lambda path: torch.save([1, 2], path),
    ],
    ids=["missing", "empty", "text", "list"],
)
def test_anything_else_is_one_clear_error(tmp_path, write):
    path = tmp_path / "a.pt"
    write(path)
    with pytest.raises(InputError, match=r"a\.pt"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), InputError),
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError),
    ],
)
def test_a_whole_file_is_not_said_to_be_damaged(tmp_path, monkeypatch, error, expected):
    """Who deletes it and trains again, as a damaged one asks for, loses a training for nothing."""
    checkpoint.save(path := tmp_path / "a.pt", {"epoch": 4})
    monkeypatch.setattr(torch, "load", Mock(side_effect=error))
    with pytest.raises(expected) as raised:
        checkpoint.load(path)
    assert "delete" not in str(raised.value)
