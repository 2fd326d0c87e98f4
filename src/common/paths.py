"""Where code, data and runs are: in a checkout, under papermill, on Kaggle.

Every relative path is anchored to the project's root, never to the current folder, because Jupyter
starts in notebooks/, papermill where it is called, and Kaggle in /kaggle/working.
"""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from src.common.errors import InputError, refusing

SIGN_MAP = "sign_to_prediction_index_map.json"  # the file that marks a competition folder
SLOVO_INDEX = "annotations.csv"  # the file that marks a folder in Slovo's format
COMPETITION = "input/asl-signs"  # where the competition's data are by default
_KAGGLE = Path(os.environ.get("KAGGLE_ROOT", "/kaggle"))  # only tests set another folder
KAGGLE_INPUT, KAGGLE_WORKING = _KAGGLE / "input", _KAGGLE / "working"


def on_kaggle() -> bool:
    """True inside a Kaggle kernel, interactive or batch."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def root() -> Path:
    """The folder that relative paths start from: the checkout, or Kaggle's writable folder."""
    return KAGGLE_WORKING if on_kaggle() else Path(__file__).resolve().parents[2]


def anchored(path: str | Path) -> Path:
    """`path` as an absolute path; a relative one starts at the project's root.

    Raises:
        InputError: `path` begins with ~ and the name of an unknown user.
    """
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{path}: expected a user's name after ~, found no user of that name; write the whole "
            "path"
        ) from error
    return path if path.is_absolute() else (root() / path).resolve()


def competition_folder(data: str = "") -> Path:
    """The competition folder, which holds the sign map; or, if named, a folder in Slovo's format.

    Without `data` it is the folder that the variable ASL_SIGNS_DIR names, Kaggle's mount of the
    competition, or input/asl-signs, in this order.

    Raises:
        InputError: there is no such folder, or it may not be read; the message says what to do.
    """
    if data := data or os.environ.get("ASL_SIGNS_DIR", ""):
        candidates = [anchored(data)]
    else:
        # Kaggle mounts a competition at /kaggle/input/<slug> or /kaggle/input/competitions/<slug>;
        # a deeper search would go through its 94,477 files.
        places = [KAGGLE_INPUT.glob(f"{place}/{SIGN_MAP}") for place in ("*", "*/*")]
        mounts = [path for place in places for path in sorted(place)] if on_kaggle() else []
        candidates = [*(mount.parent for mount in mounts), anchored(COMPETITION)]
    for folder in candidates:
        with refusing(folder, "a folder to read", "name another"):
            if (folder / SIGN_MAP).is_file() or (data and (folder / SLOVO_INDEX).is_file()):
                return folder
    raise InputError(
        f"{candidates[-1]}: expected a competition folder (train.csv, train_landmark_files/, "
        f"{SIGN_MAP}), or one in Slovo's format ({SLOVO_INDEX}, keypoints), found none. Either set "
        "DATA or ASL_SIGNS_DIR to one; or accept the rules at "
        "https://www.kaggle.com/competitions/asl-signs/rules and run `python -m src.kaggle "
        "download`; or use PROFILE=sample, which writes synthetic clips"
    )


def environment() -> str:
    """Where this process runs, in one line: interpreter, root, versions, processor."""
    where = "Kaggle" if on_kaggle() else platform.node()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pandas"))
    return f"{where}: {sys.executable}, {root()}, {versions}, {os.cpu_count()} cores"
