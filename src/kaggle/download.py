"""Downloads the competition's data with Kaggle's own command line, and unpacks them.

- `kaggle` is called, never imported, so that nothing here depends on it.
- After a stop the same command goes on: Kaggle's client resumes the download, and a file that is
  unpacked already is left alone.
"""

import re
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

from src.common.errors import InputError
from src.common.files import locked, needing_room
from src.common.news import counted
from src.common.paths import SIGN_MAP

COMPETITION = "asl-signs"
RULES = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"
# For the archive and its content, rounded up: 94,477 clips of 0.6 MB each on average.
NEEDED_GB = 100.0
LONGEST = 300  # characters of Kaggle's message that are passed on
INSTALL = "install it by `pip install kaggle` (anywhere; it only has to be in PATH)"
CREDENTIALS = (
    "make a token at https://www.kaggle.com/settings and run `kaggle auth login`, or set "
    "KAGGLE_API_TOKEN, or keep it in ~/.kaggle/access_token"
)


def download(folder: Path) -> Path:
    """Download and unpack the competition into a folder, unless it is there already.

    Raises:
        InputError: the command is missing, the disk is too small, Kaggle refuses, or the archive is
            broken; the message says what to do.
    """
    if (folder / SIGN_MAP).is_file() and (folder / "train.csv").is_file():
        return folder
    command = shutil.which("kaggle")
    if command is None:
        raise InputError(f"kaggle: expected this command in PATH, found none; {INSTALL}")
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
            f"{folder}: expected {needed_gb:.0f} GB free for the archive and its content, found "
            f"{free_gb:.0f}; free some, or name a folder on another disk by --to"
        )


def _fetch(command: str, archive: Path) -> None:
    """Let Kaggle's client download, pass its progress on, and explain a failure."""
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
    """The message for a failure of `kaggle`, from what it printed."""
    low = said.lower()
    # The code must be a whole word: a progress bar may say 403M.
    if re.search(r"\b403\b", said) or "accept this competition" in low:
        return (
            "kaggle: 403 Forbidden: this account has not accepted the rules, or its phone number "
            f"is not verified; do both in the browser, no command can: {RULES}; then run this again"
        )
    # An older client warns about kaggle.json and who can read it, whatever then fails.
    if re.search(r"\b401\b", said) or any(
        word in low for word in ("unauthorized", "could not find kaggle.json", "authenticat")
    ):
        return f"kaggle: expected credentials, found none that Kaggle accepts; {CREDENTIALS}"
    last = (said.strip().splitlines() or ["it said nothing"])[-1][-LONGEST:]
    return (
        f"kaggle: expected {COMPETITION}.zip, but it ended with code {code}: {last}; run it again"
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the files that are not there yet; the sign map comes last and marks the end."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = sorted(opened.infolist(), key=lambda info: info.filename == SIGN_MAP)
            for info in counted(members, "unpack", "files"):
                target = folder / info.filename
                if not (target.is_file() and target.stat().st_size == info.file_size):
                    with needing_room(target):
                        opened.extract(info, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{archive}: expected the competition's archive, found a broken one ({error}); delete "
            "it and run this again"
        ) from error
