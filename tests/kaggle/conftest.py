"""A finished run without its training."""

from pathlib import Path

import pytest

from src.runs import About, Run
from src.tflite.converter.convert import convert
from tests.tflite.lengths import by_length, module_of


@pytest.fixture(scope="session")
def model_file() -> bytes:
    """A .tflite file of four signs."""
    return convert(module_of(by_length), "fp32")


@pytest.fixture
def run(tmp_path, model_file) -> Run:
    """The folder logs/tiny with the files of notebook 04 that go to Kaggle."""
    folder: Path = tmp_path / "logs/tiny"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(model_file)
    (folder / "model_card.md").write_text("# Model card\n")
    return Run(folder, About("cpu", "data", "store", 0, (), ("llama",), (0,)))
