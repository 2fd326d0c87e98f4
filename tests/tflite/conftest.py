"""The files several tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from src.common.environments import Unavailable
from src.tflite.converter.convert import KNOWN
from src.tflite.export import Exported, ExportOptions, write_tflite
from src.tflite.runtime import environment
from tests.tflite import toys


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Exported:
    """Two members that share their first step, as the default route and options write them."""
    members = [toys.deberta(9, seed=1), toys.deberta(13, seed=2)]
    return write_tflite(members, tmp_path_factory.mktemp("exported") / "model.tflite")


@pytest.fixture(scope="session")
def families(tmp_path_factory) -> Exported:
    """A member of every family in one file, with full-precision weights."""
    members = [*toys.families().values()]
    path = tmp_path_factory.mktemp("families") / "model.tflite"
    return write_tflite(members, path, ExportOptions("fp32"))


@pytest.fixture(scope="session")
def competition() -> Path:
    """The interpreter of the competition's environment, which needs Python 3.9 and its packages."""
    try:
        return environment()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def runtime_without(tmp_path, monkeypatch) -> Callable[[str], None]:
    """Take an operation from those that the competition's runtime is said to know."""

    def take(operation: str) -> None:
        older = tmp_path / "older-operations.txt"
        lines = KNOWN.read_text().splitlines()
        older.write_text("".join(f"{line}\n" for line in lines if line.split()[0] != operation))
        monkeypatch.setattr("src.tflite.converter.convert.KNOWN", older)

    return take
