"""The competition's data, by Kaggle's own command line: space checked before, files unpacked after.

- `kaggle` is called, never imported: it is no dependency of anything else here.
- Stopped, the same command goes on: Kaggle's client resumes a download, and files that are
  unpacked whole are not unpacked again.
"""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

from tqdm.auto import tqdm

from src.common.errors import InputError
from src.common.files import locked, write_atomically
from src.common.paths import SIGN_MAP

COMPETITION = "asl-signs"
RULES = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"
# Of the archive and of what is in it, rounded up: 94,477 clips of 0.6 MB each on average.
NEEDED_GB = 100.0
TOLD = 300  # characters of what Kaggle says that are passed on
INSTALL = "install it by `pip install kaggle` (anywhere; it only has to be in PATH)"
CREDENTIALS = (
    "make a token at https://www.kaggle.com/settings and run `kaggle auth login`, or set "
    "KAGGLE_API_TOKEN, or keep it in ~/.kaggle/access_token"
)


def download(folder: Path) -> Path:
    """Fetch and unpack the competition, unless it is there.

    Args:
        folder: what the competition folder is to be, such as input/asl-signs.

    Raises:
        InputError: the command is missing, the disk is too small, Kaggle refuses (the message says
            what to do), or what came is no archive.
    """
    if (folder / SIGN_MAP).is_file() and (folder / "train.csv").is_file():
        return folder
    command = shutil.which("kaggle")
    if command is None:
        raise InputError(f"kaggle: expected this command in PATH, found none; {INSTALL}")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "downloads here"):
        archive = folder.with_name(f"{COMPETITION}.zip")
        _check_space(folder, archive)
        _fetch(command, archive)
        _unpack(archive, folder)
    archive.unlink()
    return folder


def _check_space(folder: Path, archive: Path) -> None:
    there = archive.stat().st_size if archive.is_file() else 0
    there += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free_gb, needed_gb = shutil.disk_usage(folder).free / 1e9, NEEDED_GB - there / 1e9
    if free_gb < needed_gb:
        raise InputError(
            f"{folder}: expected {needed_gb:.0f} GB free for the archive and what is in it, found "
            f"{free_gb:.0f}; free some, or name a folder on another disk by --to"
        )


def _fetch(command: str, archive: Path) -> None:
    """Let Kaggle's client download, with its progress to be seen, and explain how it failed."""
    words = [command, "competitions", "download", "-c", COMPETITION, "-p", str(archive.parent)]
    said = ""
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        while piece := process.stdout.read(80):  # a progress bar has no line ends
            print(piece, end="", flush=True)
            said = (said + piece)[-10_000:]
    if process.returncode or not archive.is_file():
        raise InputError(_explained(said, process.returncode))


def _explained(said: str, code: int) -> str:
    """What to do about a failure of `kaggle`, from what it printed."""
    low = said.lower()
    if "403" in said or "accept this competition" in low:
        return (
            "kaggle: 403 Forbidden: the rules are not accepted by this account, or its phone "
            f"number is not verified. Both work in the browser only: {RULES}; then run this again"
        )
    if "401" in said or any(word in low for word in ("unauthorized", "kaggle.json", "authenticat")):
        return f"kaggle: expected credentials, found none that Kaggle takes; {CREDENTIALS}"
    last = (said.strip().splitlines() or ["it said nothing"])[-1][-TOLD:]
    return (
        f"kaggle: expected {COMPETITION}.zip, but it ended with code {code}: {last}; run it again"
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack what is not there whole; the sign map comes last, as the sign that all is there."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
            members.sort(key=lambda info: info.filename == SIGN_MAP)
            for info in tqdm(members, unit="file", desc="unpack", disable=None):
                target = _inside(folder, info.filename, archive)
                if target.is_file() and target.stat().st_size == info.file_size:
                    continue
                write_atomically(target, lambda path, info=info: _extract(opened, info, path))
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"{archive}: expected the competition's archive, found a broken one ({error}); delete "
            "it and run this again"
        ) from error


def _inside(folder: Path, name: str, archive: Path) -> Path:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise InputError(f"{archive}: expected paths inside it, found {name!r}; delete it")
    return target


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    with opened.open(info) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
