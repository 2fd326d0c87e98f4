"""One driver for all attempts of a session, and what the unbroken stages have left."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from src.common.paths import root
from tests.faults.stages import STAGES


@dataclass(frozen=True)
class Driver:
    """The process of tests/faults/driver.py."""

    process: subprocess.Popen
    sources: dict[str, Path]  # what each stage reads

    def attempt(self, stage: str, folder: Path, source: Path | None = None, **options) -> dict:
        """Run a stage with options of `driver.attempt`: how it ended, what it said and did."""
        places = {"folder": str(folder), "source": str(source or self.sources[stage])}
        self.process.stdin.write(json.dumps({"stage": stage, **places, **options}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def finish(self, stage: str, folder: Path) -> dict:
        """Run a stage to its end."""
        answer = self.attempt(stage, folder)
        assert answer["error"] is None and not answer["killed"], answer
        return answer


@pytest.fixture(scope="session")
def driver(sample, tmp_path_factory) -> Iterator[Driver]:
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE) | {"stderr": subprocess.DEVNULL}
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.faults.driver"]
    process = subprocess.Popen(command, text=True, cwd=root(), env=alone, **pipes)
    sources = dict.fromkeys(STAGES, Path(os.devnull)) | {"store": sample}
    started = Driver(process, sources)
    stores = tmp_path_factory.mktemp("unbroken") / "store"
    started.finish("store", stores)
    (sources["training"],) = stores.iterdir()
    yield started
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


@pytest.fixture(scope="session")
def unbroken(driver, tmp_path_factory) -> Callable[[str], tuple[Path, dict]]:
    """A function from a stage to the folder of an unbroken run of it, and what that run did."""

    @cache
    def find(stage: str) -> tuple[Path, dict]:
        folder = tmp_path_factory.mktemp("unbroken") / stage
        return folder, driver.finish(stage, folder)

    return find
