"""A finished run, without the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.runs import About, Run
from src.tflite.converter.convert import convert
from tests.tflite.lengths import Lengths


@pytest.fixture(scope="session")
def model_file() -> bytes:
    """A .tflite file of four signs."""
    return convert(Lengths(), "fp32")


@pytest.fixture
def run(tmp_path, model_file) -> Run:
    """The folder logs/tiny as 04 leaves it, as far as Kaggle is concerned."""
    folder: Path = tmp_path / "logs/tiny"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(model_file)
    (folder / "model_card.md").write_text("# Model card\n")
    return Run(folder, About("cpu", "data", "store", 0, (), ("llama",), (0,)))
