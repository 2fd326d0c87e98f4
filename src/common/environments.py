"""Environments beside the main one, for what cannot be installed into it: made once, from pins.

- An environment is a folder beside the main one, ignored by git; its file `.installed` is written
  last and names the pins that it was made from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from src.common.errors import InputError
from src.common.files import write_text

MARK = ".installed"


class Unavailable(InputError):
    """What an environment is made of is not here: another Python, or the packages."""


def find_python(version: str) -> Path:
    """A Python of that version: in PATH, or one of pyenv's.

    Raises:
        Unavailable: there is none.
    """
    for python in _candidates(version):
        # pyenv puts a python3.9 into PATH that only says which versions are switched off.
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return Path(python)
    raise Unavailable(
        f"expected a Python {version} in PATH or in {_pyenv()}, found none; install one, for "
        f"example by `pyenv install {version}`"
    )


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"


def _candidates(version: str) -> Iterator[str]:
    in_path = shutil.which(f"python{version}")
    if in_path:
        yield in_path
    yield from (str(path) for path in sorted(_pyenv().glob(f"{version}.*/bin/python")))


def make(python: Path, folder: Path, requirements: Path) -> Path:
    """The interpreter of an environment that has these packages and no others.

    Args:
        python: the interpreter that it is made with.
        folder: of the environment; made anew when `requirements` has changed.
        requirements: a file of pins, complete: dependencies are not looked up.

    Raises:
        Unavailable: pip cannot install them, most often for want of a network.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    interpreter, mark = folder / "bin" / "python", folder / MARK
    if mark.is_file() and mark.read_text() == digest:
        return interpreter
    options = ["--disable-pip-version-check", "--quiet", "--no-deps", "--requirement"]
    for command in (
        [python, "-m", "venv", "--clear", folder],
        [interpreter, "-m", "pip", "install", *options, requirements],
    ):
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        if done.returncode:
            reason = _reason(done)
            raise Unavailable(f"{folder}: could not install {requirements}: {reason}")
    write_text(mark, digest)
    return interpreter


def _reason(done: subprocess.CompletedProcess) -> str:
    """The last line that says what went wrong; pip warns of other things after it."""
    lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]
