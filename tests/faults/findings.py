"""What a stage has left in its folder: is it whole, how far is it, what does it say."""

import json
import os
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
from torch import Tensor

from src.common import checkpoint
from tests.faults.driver import FOLDER
from tests.faults.stages import FILE, FOLDS, RECIPE


def content(path: Path) -> object:
    """What a whole file says, without times."""
    match path.suffix:
        case ".json":
            return json.loads(path.read_text())
        case ".csv":
            return pd.read_csv(path).drop(columns="seconds", errors="ignore").to_csv()
        case ".parquet":
            return pd.read_parquet(path).to_json()
        case ".npy":
            return np.load(path).tobytes()
        case ".pt":
            state = checkpoint.load(path)
            return {name: x.tolist() for name, x in state.items() if isinstance(x, Tensor)}
        case ".zip":
            return zipfile.ZipFile(path).read("model.tflite")
        case ".ipynb":
            return len(nbformat.read(path, 4).cells)
        case _:
            return path.read_bytes()


def files(folder: Path) -> list[Path]:
    """Every file that a reader would take for finished."""
    return sorted(path for path in folder.rglob("[!.]*") if path.is_file())


def assert_whole(folder: Path) -> None:
    """Every file under a final name can be read to its end."""
    for path in files(folder):
        found = content(path)
        assert path.suffix != ".tflite" or found == FILE
    for mark in (folder / ".finished").glob("*.json"):
        executed = nbformat.read(folder / f"{mark.stem}.ipynb", 4)
        assert executed.cells[-1].execution_count is not None


def progress(stage: str, folder: Path) -> int:
    """How much of a stage is finished; it may never fall."""
    if stage == "training":
        return sum(_epochs(folder / RECIPE.name / f"fold{fold}") for fold in FOLDS)
    if stage == "store":
        finished = any(folder.glob("*/manifest.json"))
        return 1000 if finished else len(list(folder.glob("*/shards/*.json")))
    if stage == "export":  # what is made of the file goes before the file is replaced
        return len(list(folder.glob("[!.]*.tflite")))  # a kill may leave a hidden one
    return len(list(folder.glob(".finished/*.json")))


def _epochs(member: Path) -> int:
    if (member / "trained.json").is_file():
        return RECIPE.epochs + 1
    last = member / "last.pt"
    return checkpoint.load(last)["epoch"] + 1 if last.is_file() else 0


def finished_weights(folder: Path) -> dict[Path, int]:
    """When each finished training was written."""
    members = [mark.parent for mark in folder.glob("*/*/trained.json")]
    weights = [path for member in members for path in member.glob("[!.]*.pt")]
    return {path: path.stat().st_mtime_ns for path in weights if path.stem != "last"}


def outcome(folder: Path) -> dict[str, object]:
    """All that a finished stage has left, by name, without times and places. What a notebook's mark
    says depends on the folder's name: only that it is there counts."""
    return {
        path.name if path.parent == folder else f"{path.parent.name}/{path.name}": (
            None if path.parent.name == ".finished" else content(path)
        )
        for path in files(folder)
        if "prepared" not in path.parts
    }


def left_behind(folder: Path) -> list[str]:
    """What a finished stage should have cleared away: shards, and temporary files with data. A note
    of some lines may stay where no lock tells that its writer is dead."""
    temporary = [path for path in folder.rglob(".*.tmp*") if path.suffix != ".json"]
    return [path.name for path in (*temporary, *folder.rglob("shards"))]


def processes_of(folder: Path) -> list[psutil.Process]:
    """What still runs for a folder: kernels whose runner was killed, say."""
    own = (p for p in psutil.process_iter(["environ"]) if p.pid != os.getpid())
    return [p for p in own if (p.info["environ"] or {}).get(FOLDER) == str(folder)]
