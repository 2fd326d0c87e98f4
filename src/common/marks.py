"""Marks: the small file that says "this is finished, and it was made from that".

- A mark is written last, so work without a mark is unfinished.
- It holds plain values, so a mark of other values says what has changed since:
  `recipe.epochs 20 -> 30`.
"""

from __future__ import annotations

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
DIGEST = "sha256:"  # a value that begins so is a digest, of which only a change is told
_FINGERPRINT = 12  # digits
_LONGEST = 60  # characters of a value in words


@dataclass(frozen=True)
class Mark:
    """A mark, there or not.

    Args:
        path: of its file, in the folder of the work.
        made_from: what the work is made from now, as values that JSON can hold; left out by those
            who only ask for the result.
    """

    path: Path
    made_from: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """True if the work is finished and was made from these very values."""
        mark = self._read()
        return "spoilt" not in mark and mark.get("made_from") == plain(self.made_from)

    @property
    def changes(self) -> list[str]:
        """Why finished work is not what it would be today; empty if it is, or never was."""
        before = self._read()
        if not before:
            return []
        if "spoilt" in before:
            return [before["spoilt"]]
        if "made_from" not in before:  # until November 2026 marks held digests
            return ["an older version of this project made it"]
        return changes(before["made_from"], self.made_from)

    def tell_why_again(self, earlier: Iterable[Path]) -> None:
        """Print in one line what has changed since the work was done before, if it was.

        Args:
            earlier: files of marks of the same work; the newest is compared.
        """
        times = {path: path.stat().st_mtime for path in earlier if path.is_file()}
        changed = Mark(max(times, key=times.get), self.made_from).changes if times else []
        if changed:
            say(f"{self.path.parent}: made again, for there are changes: {', '.join(changed)}")

    @property
    def made_from_then(self) -> dict[str, Any]:
        """What the work was made from when it was finished; empty if there is no mark."""
        values = self._read().get("made_from")
        return values if isinstance(values, dict) else {}

    @property
    def result(self) -> Any:
        """What `write` was given beside the values; None if there is no mark."""
        return self._read().get("result")

    def write(self, result: Any = None) -> Path:
        """Say that the work is finished: the last thing that it writes.

        Args:
            result: what later readers want to know of it, as JSON can hold it.
        """
        return write_json(self.path, {"made_from": self.made_from, "result": result})

    def spoil(self, reason: str) -> bool:
        """Turn the mark into one of nothing, before what it marks is deleted.

        With no mark, a kill would leave files that nobody deletes; with the old one they would be
        taken for whole once the values are the old ones again.

        Returns:
            True if there was a mark.
        """
        if stood := self.path.is_file():
            write_json(self.path, {"made_from": {}, "spoilt": reason})
        return stood

    def _read(self) -> dict[str, Any]:
        try:
            mark = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return mark if isinstance(mark, dict) else {}


def side_by_side(
    parent: Path, name: str, made_from: Mapping[str, Any], file: str
) -> tuple[Mark, list[Path]]:
    """The mark of work of which several live side by side, in <parent>/<name>-<fingerprint>/.

    Args:
        parent: the folder that they live in.
        name: how their folders' names begin.
        made_from: what this one is made from; the fingerprint is a digest of it.
        file: the mark's name.

    Returns:
        The mark, and the files of the marks of the others.
    """
    fingerprint = digest_of(made_from).removeprefix(DIGEST)[:_FINGERPRINT]
    mark = Mark(parent / f"{name}-{fingerprint}" / file, made_from)
    named = f"{glob.escape(name)}-{'[0-9a-f]' * _FINGERPRINT}/{glob.escape(file)}"
    return mark, [path for path in parent.glob(named) if path != mark.path]


def digest_of(value: Any) -> str:
    """What stands in a mark for plain values that are too long to be told in words."""
    return DIGEST + hashlib.sha256(json.dumps(value).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value as it comes back from JSON: lists for tuples, text for the keys of a table."""
    return json.loads(json.dumps(value))


def changes(before: Any, now: Any) -> list[str]:
    """The differences of two tables of plain values, in words; one of the other's kind is one.

    Args:
        before: what a mark says.
        now: what it would say today.
    """
    found = [*_differences(plain(before), plain(now), "")]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return found[:MOST] + more


def _differences(before: Any, now: Any, name: str) -> list[str]:
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        rows = [_of_key(before, now, key, f"{name}.{key}" if name else key) for key in before | now]
        return [row for part in rows for row in part]
    if str(now).startswith(DIGEST):
        return [f"{name} changed"]
    return [f"{name} {_brief(before)} -> {_brief(now)}"]


def _of_key(before: dict, now: dict, key: str, name: str) -> list[str]:
    if key not in before:
        return [f"{name} is new"]
    if key not in now:
        return [f"{name} is gone"]
    return _differences(before[key], now[key], name)


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
