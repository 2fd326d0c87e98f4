"""The files several tests share."""

from __future__ import annotations

import pytest

from src.tflite.export import Exported, ExportOptions, write_tflite
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
