"""Marks: the small file that says "this is finished, and it was made from that".

- A mark is written last, so work without a mark is unfinished.
- It holds plain values, so it can tell what has changed since:
  `recipe.epochs 20 -> 30`.
"""

import glob
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.common.files import write_json
from src.common.news import say

MOST = 6  # changes that are spelt out; more would fill the screen
DIGEST = "sha256:"  # how digests begin; of a digest only the fact that it changed is printed
_FINGERPRINT = 12  # digits
_LONGEST = 60  # characters of a value in a message


@dataclass(frozen=True)
class Mark:
    """The mark of some work, whether its file exists or not."""

    path: Path  # the mark's file, in the folder of the work
    # What the work would be made from now, as values that JSON can hold; not needed just to read
    # what the mark says.
    made_from: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """True if the work is finished and was made from these very values."""
        mark = self._read()
        return "spoilt" not in mark and mark.get("made_from") == plain(self.made_from)

    @property
    def changes(self) -> list[str]:
        """What has changed since the work was finished; empty if nothing, or if it never was."""
        before = self._read()
        if "spoilt" in before:
            return [before["spoilt"]]
        if before and "made_from" not in before:  # until November 2026 marks held digests
            return ["an older version of this project made it"]
        return changes(before["made_from"], self.made_from) if before else []

    def tell_why_again(self, earlier: Iterable[Path]) -> None:
        """Print in one line what has changed since the newest of these earlier marks, if any."""
        times = {path: path.stat().st_mtime for path in earlier if path.is_file()}
        if changed := Mark(max(times, key=times.get), self.made_from).changes if times else []:
            say(f"{self.path.parent}: made again because of changes: {', '.join(changed)}")

    @property
    def made_from_then(self) -> dict[str, Any]:
        """What the work was made from when it was finished; empty if there is no mark."""
        values = self._read().get("made_from")
        return values if isinstance(values, dict) else {}

    @property
    def result(self) -> Any:
        """The result that `write` was given; None if there is no mark."""
        return self._read().get("result")

    def write(self, result: Any = None) -> Path:
        """Mark the work as finished, as its last step; `result` is for readers of the mark."""
        return write_json(self.path, {"made_from": self.made_from, "result": result})

    def spoil(self, reason: str) -> bool:
        """Make the mark invalid before the work is deleted; True if there was a mark.

        If the mark were deleted first, a kill would leave files that nobody deletes. If it stayed,
        those files would pass as finished work once the old values are used again.
        """
        if stood := self.path.is_file():
            write_json(self.path, {"made_from": {}, "spoilt": reason})
        return stood

    def _read(self) -> dict[str, Any]:
        try:
            mark = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            mark = None
        return mark if isinstance(mark, dict) else {}


def side_by_side(
    parent: Path, name: str, made_from: Mapping[str, Any], file: str
) -> tuple[Mark, list[Path]]:
    """The mark of one of several versions of some work: <parent>/<name>-<fingerprint>/<file>.

    The fingerprint is a digest of `made_from`. Also returns the marks' files of the other versions.
    """
    fingerprint = digest_of(made_from).removeprefix(DIGEST)[:_FINGERPRINT]
    mark = Mark(parent / f"{name}-{fingerprint}" / file, made_from)
    named = f"{glob.escape(name)}-{'[0-9a-f]' * _FINGERPRINT}/{glob.escape(file)}"
    return mark, [path for path in parent.glob(named) if path != mark.path]


def digest_of(value: Any) -> str:
    """The digest that a mark holds instead of plain values that are too long to print."""
    return DIGEST + hashlib.sha256(json.dumps(value).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value as it comes back from JSON: lists for tuples, text for the keys of a table."""
    return json.loads(json.dumps(value))


def changes(before: Any, now: Any) -> list[str]:
    """The differences, in words, between what a mark says and what it would say now."""
    found = [*_differences(plain(before), plain(now), "")]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return found[:MOST] + more


def _differences(before: Any, now: Any, name: str) -> list[str]:
    if before == now:
        return []
    if not (isinstance(before, dict) and isinstance(now, dict)):
        is_digest = str(now).startswith(DIGEST)
        return [f"{name} changed" if is_digest else f"{name} {_brief(before)} -> {_brief(now)}"]
    found = []
    for key in before | now:
        inner = f"{name}.{key}" if name else key
        if key in before and key in now:
            found += _differences(before[key], now[key], inner)
        else:
            found.append(f"{inner} is {'gone' if key in before else 'new'}")
    return found


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
