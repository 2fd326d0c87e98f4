"""Finds the videos of a collection, and who signs what in them.

- Videos are found as <signer>/<sign>/<take>.mp4 or <sign>/<signer>_<take>.mp4, or in a csv file
  with the columns path, signer, sign.
- Files whose names begin with a dot are left out: they are the system's own. Names are stripped,
  and accents get one spelling, because file systems spell them differently.
- A clip's number depends only on its video's path in the collection, so adding videos changes no
  other number.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from src.common.errors import InputError
from src.common.news import say
from src.dataset.competition import clip_path, read_table
from src.video.recording import VIDEOS

COLUMNS = {name: name for name in ("path", "signer", "sign")}  # of a csv file, and here
LAYOUTS = "<signer>/<sign>/<take>.mp4, <sign>/<signer>_<take>.mp4, or a csv of path, signer, sign"


@dataclass(frozen=True)
class Video:
    """One video of the collection."""

    path: Path
    signer: str
    sign: str
    number: str  # of the clip; from the video's place in the collection

    @property
    def clip(self) -> str:
        """The clip's file, relative to the competition folder."""
        return clip_path(self.signer, self.number)

    @property
    def picture(self) -> str:
        """The file of a doubtful clip's pictures, relative to the competition folder."""
        # Two whole names could be too long for a file's name; the number tells files apart.
        return f"doubtful/{self.signer[:20]}-{self.sign[:20]}-{self.number}.png"


def find(source: Path) -> list[Video]:
    """The videos of a folder or a csv file, in the order of their paths.

    Raises:
        InputError: there are no videos, or the place of one does not name its signer and sign; a
            name cannot be a folder's; `read_table` refuses the csv file, or it names a video twice
            or one that does not exist.
    """
    if not source.exists() or (source.is_file() and source.suffix.lower() in VIDEOS):
        found = "one video" if source.exists() else "none"
        raise InputError(
            f"{source}: expected a folder of videos or a csv file, found {found}; name a folder "
            f"with videos as {LAYOUTS}"
        )
    videos = [*(_of_csv(source) if source.is_file() else _of_folder(source))]
    if not videos:
        raise InputError(f"{source}: expected videos as {LAYOUTS}; found none")
    for video in videos:
        for what, text in (("signer", video.signer), ("sign", video.sign)):
            if not _is_plain(text):
                raise InputError(
                    f"{video.path}: expected the name of a {what}, found {text!r}; rename it"
                )
    if missing := [video.path for video in videos if not video.path.is_file()]:
        raise InputError(
            f"{source}: expected a file for each of {len(videos)} videos, found none for "
            f"{len(missing)}, the first {missing[0]}; correct their paths, or leave them out"
        )
    # A table may spell one path in two ways: deep\a.mp4 and ./deep/a.mp4.
    [(path, times)] = Counter(os.path.normpath(video.path) for video in videos).most_common(1)
    if times > 1:
        raise InputError(f"{source}: expected each video once, found {path} {times} times")
    return videos


def tell_others(source: Path) -> None:
    """Print how many files are left out because their endings are not those of videos."""
    names = (path for path in files(source) if path.suffix.lower() not in VIDEOS)
    if others := Counter(path.suffix or "no ending" for path in names):
        told = ", ".join(f"{ending} ({number})" for ending, number in sorted(others.items()))
        say(f"{source}: left out, because their endings are not those of videos: {told}")


def files(source: Path) -> Iterator[Path]:
    """The files of a folder, without hidden ones.

    Signers and signs may be links to folders; deeper links are not followed: they might form a
    circle.
    """
    for parent, folders, names in os.walk(source, followlinks=True):
        here = Path(parent)
        is_deep = len(here.relative_to(source).parts) > 1
        folders[:] = (
            name
            for name in folders
            if not name.startswith(".") and not (is_deep and (here / name).is_symlink())
        )
        yield from (here / name for name in names if not name.startswith("."))


def check_spellings(source: Path, videos: Iterable[Video]) -> None:
    """Refuse two signs or signers that differ only in capitals.

    Otherwise one sign becomes two, or one signer is both learnt from and held out.
    """
    for what in ("signer", "sign"):
        spelt: dict[str, str] = {}
        for name in (getattr(video, what) for video in videos):
            if (other := spelt.setdefault(name.lower(), name)) != name:
                raise InputError(
                    f"{source}: expected each {what} in one spelling, found {other!r} and "
                    f"{name!r}; rename one"
                )


def _of_csv(source: Path) -> Iterator[Video]:
    table = read_table(source, COLUMNS, unique=("path",))
    table["path"] = table.path.str.replace("\\", "/")  # as Windows writes them
    for place, signer, sign in table[[*COLUMNS]].sort_values("path").itertuples(index=False):
        yield Video(source.parent / place, _name(signer), _name(sign), _number(place))


def _of_folder(source: Path) -> Iterator[Video]:
    for path in sorted(files(source)):
        if path.suffix.lower() not in VIDEOS:
            continue
        place = path.relative_to(source)
        match place.parts:
            case signer, sign, _:
                pass
            case sign, name if "_" in name:
                signer = name.partition("_")[0]
            case _:
                raise InputError(f"{path}: expected a video as {LAYOUTS}; found {place}; move it")
        yield Video(path, _name(signer), _name(sign), _number(place.as_posix()))


def _name(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _is_plain(name: str) -> bool:
    """True if this can be a folder's name: no path, no control character, no broken text."""
    odd = any(c in "/\\" or unicodedata.category(c) in ("Cc", "Cs") for c in name)
    return name not in ("", ".", "..") and not odd


def _number(place: str) -> str:
    # A name from an old archive may be invalid text: its bytes are used as they are.
    data = place.encode(errors="surrogateescape")
    return str(int(hashlib.sha256(data).hexdigest()[:12], 16))
