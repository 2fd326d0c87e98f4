"""The pages for readers: short where they should be, and true about paths, links and commands."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SHOWN = sorted((ROOT / "docs/notebooks").glob("*.md"))
MIB = 2**20


def anchors(page: Path) -> set[str]:
    """What a link can name in a page, as GitHub makes it from the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", [*PAGES, *SHOWN], ids=lambda page: page.name)
def test_every_link_and_picture_is_there(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=lambda p: p.name
)
def test_every_path_and_module_is_there(page):
    code = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    paths = [w for w in code if re.fullmatch(r"(src|tests|docs|notebooks)/[\w./]+", w)]
    for path in paths:
        assert (ROOT / path).exists(), path
    for module in re.findall(r"-m ((?:src|tests|docs)[a-z_.]*)", "\n".join(code)):
        assert importlib.util.find_spec(module), module


def test_the_readme_takes_two_minutes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1300


def test_pictures_are_light():
    pictures = [path for path in (ROOT / "docs").rglob("*.*") if path.suffix in (".png", ".gif")]
    assert (ROOT / "docs/pictures/clip.gif") in pictures
    assert sum(path.stat().st_size for path in (ROOT / "docs/pictures").iterdir()) < 2 * MIB
    assert sum(path.stat().st_size for path in pictures) < 6 * MIB


def test_the_citation_names_six_sources():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert len(found["references"]) == 6
    for source in found["references"]:
        assert source["title"] and source["authors"]
