"""Environments beside the main one, for packages that cannot be installed into it.

An environment is a folder beside the main one, ignored by git, made from a file of pins.
"""

import os
import shutil
import subprocess
from pathlib import Path

from src.common.errors import InputError
from src.common.marks import Mark


class Unavailable(InputError):
    """An environment cannot be made: its Python or its packages cannot be found."""


def find_python(version: str) -> Path:
    """Find a Python of this version in PATH or among those of pyenv.

    Raises:
        Unavailable: there is no such Python.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    in_path = shutil.which(f"python{version}")
    for python in (in_path, *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        # The python3.9 that pyenv puts into PATH only prints a message if 3.9 is switched off.
        if python and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return Path(python)
    raise Unavailable(
        f"expected a Python {version} in PATH or in {pyenv}, found none; install one, for "
        f"example by `pyenv install {version}`"
    )


def mark_of(folder: Path, requirements: Path) -> Mark:
    """The mark of an environment that has the packages of these requirements."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    return Mark(folder / ".installed", {"requirements": dict.fromkeys(pins)})


def make(python: Path, folder: Path, requirements: Path) -> Path:
    """Make an environment, unless it exists with these pins; returns its interpreter.

    The requirements are pins of all packages, because pip looks up no dependencies here.

    Raises:
        Unavailable: pip cannot install the packages, most often because there is no network.
    """
    interpreter, mark = folder / "bin" / "python", mark_of(folder, requirements)
    if mark.is_finished:
        return interpreter
    mark.tell_why_again([mark.path])
    options = ["--disable-pip-version-check", "--quiet", "--no-deps", "--requirement"]
    for command in (
        [python, "-m", "venv", "--clear", folder],
        [interpreter, "-m", "pip", "install", *options, requirements],
    ):
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
            errors = [line for line in lines if line.startswith("ERROR")]  # warnings may follow
            reason = (errors or lines or [f"exit code {done.returncode}"])[-1]
            raise Unavailable(f"{folder}: could not install {requirements}: {reason}")
    mark.write()
    return interpreter
