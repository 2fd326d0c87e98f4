"""The files several tests share."""

from pathlib import Path

import pytest

from src.common.environments import Unavailable
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
