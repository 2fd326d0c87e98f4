"""The download, with a `kaggle` command of our own that prints what the real one prints."""

import shutil
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from src.common.errors import InputError
from src.common.paths import SIGN_MAP
from src.kaggle import download as downloader
from src.kaggle.download import COMPETITION, download


class Fake:
    """A machine whose `kaggle` is ours; it notes its calls, and does what a test says."""

    def __init__(self, base: Path) -> None:
        self.folder, self.archive = base / "input/asl-signs", base / "input/asl-signs.zip"
        self.calls, self.path = base / "calls", base / "bin/kaggle"

    def brings(self, archive: Path) -> None:
        self.does(f"shutil.copyfile({str(archive)!r}, {str(self.archive)!r})")

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def does(self, code: str) -> None:
        self.path.parent.mkdir(exist_ok=True)
        note = f"open({str(self.calls)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')"
        self.path.write_text(f"#!{sys.executable}\nimport shutil, sys\n{note}\n{code}\n")
        self.path.chmod(0o755)


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Fake:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(downloader, "NEEDED_GB", 0.001)
    return Fake(tmp_path)


@pytest.fixture
def archive(tmp_path) -> Path:
    """The competition's archive with two clips."""
    path = tmp_path / "theirs.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(SIGN_MAP, "{}")
        opened.writestr("train.csv", "path\n")
        for clip in ("1", "2"):
            opened.writestr(f"train_landmark_files/7/{clip}.parquet", f"clip {clip}")
    return path


def test_the_archive_is_unpacked_and_removed(kaggle, archive):
    kaggle.brings(archive)
    assert download(kaggle.folder) == kaggle.folder
    found = {p.relative_to(kaggle.folder).as_posix() for p in kaggle.folder.rglob("*.*")}
    clips = {f"train_landmark_files/7/{clip}.parquet" for clip in "12"}
    assert found - {".lock"} == {SIGN_MAP, "train.csv", *clips}
    assert not kaggle.archive.exists()
    expected = f"competitions download -c {COMPETITION} -p {kaggle.folder.parent}"
    assert kaggle.called() == [expected]
    # The second time nothing is downloaded.
    download(kaggle.folder)
    assert kaggle.called() == [expected]


def test_after_a_stop_only_missing_and_partial_files_are_unpacked(kaggle, archive):
    kaggle.brings(archive)
    clips = kaggle.folder / "train_landmark_files/7"
    clips.mkdir(parents=True)
    (clips / "1.parquet").write_text("CLIP 1")  # whole by its size, so left alone
    (clips / "2.parquet").write_text("clip")
    (kaggle.folder / "train.csv").write_text("path\n")
    download(kaggle.folder)
    assert (clips / "1.parquet").read_text() == "CLIP 1"
    assert (clips / "2.parquet").read_text() == "clip 2"


RULES = r"403.*not accepted the rules.*in the browser.*https.*rules"
CREDENTIALS = r"expected credentials.*kaggle auth login.*API_TOKEN"
READABLE = "Warning: Your Kaggle API key is readable by other users on this system! To fix this, "
READABLE += "you can run 'chmod 600 /root/.kaggle/kaggle.json'"
URL = "https://www.kaggle.com/api/v1/competitions/data"


@pytest.mark.parametrize(
    ("said", "code", "message"),  # what the real command is reported to print
    [
        ("403 - Forbidden - You must accept this competition's rules before you'll be", 1, RULES),
        (f"403 Client Error: Forbidden for url: {URL}", 1, RULES),
        (f"401 Client Error: Unauthorized for url: {URL}", 1, CREDENTIALS),
        ("OSError: Could not find kaggle.json. Make sure it's located in /root", 1, CREDENTIALS),
        (f"{READABLE}\n 1% 5M/56.4G\nConnection reset by peer", 7, "code 7: Connection reset"),
        (" 1% 403M/56.4G\nConnection reset by peer", 7, "code 7: Connection reset by peer; run"),
        ("started\nConnection reset by peer", 7, "code 7: Connection reset by peer; run it again"),
        ("done", 0, r"expected asl-signs\.zip, but it ended with code 0: done"),  # and no archive
    ],
)
def test_a_failure_is_explained(kaggle, said, code, message):
    kaggle.does(f"print({said!r}); sys.exit({code})")
    with pytest.raises(InputError, match=message):
        download(kaggle.folder)


def test_without_the_command_or_room_nothing_is_downloaded(kaggle, archive, monkeypatch):
    with pytest.raises(InputError, match=r"kaggle: expected this command.*pip install kaggle"):
        download(kaggle.folder)
    kaggle.brings(archive)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=30 * 10**9))
    monkeypatch.setattr(downloader, "NEEDED_GB", 100.0)
    with pytest.raises(InputError, match=r"expected 100 GB free .*, found 30; free some"):
        download(kaggle.folder)
    assert not kaggle.called()


def test_a_broken_archive_is_named(kaggle, archive, tmp_path):
    cut, spoilt = tmp_path / "cut.zip", tmp_path / "spoilt.zip"
    cut.write_bytes(archive.read_bytes()[:-30])
    with zipfile.ZipFile(spoilt, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("train.csv", "path\n" * 100)
    data = bytearray(spoilt.read_bytes())
    data[39:44] = b"\xff" * 5  # of the compressed text, after 30 bytes of header and the name
    spoilt.write_bytes(data)
    for broken in (cut, spoilt):
        kaggle.brings(broken)
        with pytest.raises(InputError, match=f"{kaggle.archive}: .*broken one.*delete"):
            download(kaggle.folder)
        assert not (kaggle.folder / SIGN_MAP).exists()
