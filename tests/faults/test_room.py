"""No room to write, no permission to write, somebody else at work: one clear error each."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults import findings

BIG = {"store": 200_000, "training": 4_000}  # bytes: some of the stage's files are larger


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 kB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the mount command")
    if done.returncode:
        pytest.skip(f"needs the right to mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("stage", BIG)
def test_a_file_that_is_not_taken_is_one_clear_error(stage, driver, unbroken, tmp_path):
    """By a limit on the size of files, which any user can set."""
    expected, _ = unbroken(stage)
    folder = tmp_path / "run"
    answer = driver.attempt(stage, folder, largest_file=BIG[stage])
    assert answer["error"].startswith("InputError") and "expected room" in answer["error"], answer
    assert str(folder) in answer["error"] and "same command" in answer["error"]
    findings.assert_whole(folder)
    driver.finish(stage, folder)
    assert findings.outcome(folder) == findings.outcome(expected)


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error_and_the_store_goes_on(small_disk, driver, unbroken):
    expected, _ = unbroken("store")
    folder = small_disk / "stores"
    answer = driver.attempt("store", folder)
    assert "InputError" in answer["error"] and "No space left on device" in answer["error"]
    findings.assert_whole(folder)
    assert findings.progress("store", folder) < 4
    remount = ["mount", "-o", "remount,size=64m", str(small_disk)]
    subprocess.run(remount, check=True, capture_output=True)
    driver.finish("store", folder)
    assert findings.outcome(folder) == findings.outcome(expected)


def let_write(folder: Path, allowed: bool) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod((0o555 if path.is_dir() else 0o444) | 0o200 * allowed)


@pytest.mark.slow
def test_the_clips_may_be_read_only_and_the_stores_may_not(driver, sample, tmp_path):
    data, folder = tmp_path / sample.name, tmp_path / "stores"
    shutil.copytree(sample, data)
    folder.mkdir()
    let_write(data, False)
    let_write(folder, False)
    refused = driver.attempt("store", folder, source=data, powerless=True)["error"]
    assert refused.startswith("InputError") and str(folder) in refused
    assert "Permission denied" in refused
    let_write(folder, True)
    assert driver.attempt("store", folder, source=data, powerless=True)["error"] is None
    let_write(data, True)
    assert findings.progress("store", folder) == 1000


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "doing"), [("store", "builds this store"), ("training", "tiny")])
def test_the_second_on_one_folder_is_told_of_the_first(stage, doing, driver, unbroken, tmp_path):
    expected, did = unbroken(stage)
    folder = tmp_path / "run"
    first = driver.attempt(stage, folder, by="file", at=did["file"] // 2, send="SIGSTOP")
    process = psutil.Process(first["pid"])
    try:
        assert first["stopped"]
        refused = driver.attempt(stage, folder)["error"]
        assert refused.startswith("InputError")
        assert f"process {first['pid']} on " in refused and doing in refused
    finally:
        process.kill()
        # The driver reaps it at its own end; until then it is a zombie, which holds no lock.
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    driver.finish(stage, folder)
    assert findings.outcome(folder) == findings.outcome(expected)
