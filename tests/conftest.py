"""What tests of several rooms share: genuine clips, and a tiny synthetic competition."""

from collections.abc import Callable
from pathlib import Path

import pytest

import src.tflite  # noqa: F401 - sets TensorFlow up before a test imports keras or onnx
from src.dataset.sample import write_sample


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that at the end no process waits for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


REFERENCE = Path(__file__).resolve().parents[1] / "../shared/data"


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """A function from a name (asl_signs, webcam34, wlasl50) to that folder of genuine clips. Where
    it is absent the test is skipped; mark such a test with `pytest.mark.reference`."""

    def find(name: str) -> Path:
        folder = (REFERENCE / name).resolve()
        if not (folder / "train.csv").is_file():
            pytest.skip(f"needs the clips in {folder}, which are not part of this project")
        return folder

    return find


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """A synthetic competition of 4 signs x 4 participants x 2 clips; nobody may write there."""
    folder = tmp_path_factory.mktemp("sample") / "asl-signs"
    return write_sample(folder, signs=4, participants=4, clips=2)
