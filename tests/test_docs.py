"""The pages for readers: short where they should be, and true about paths, links and commands."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from src import notebooks as run
from src.recipes import SOLUTIONS, choose
from src.recipes.profiles import PROFILES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
SHOWN = sorted((ROOT / "docs/notebooks").glob("*.md"))
MIB = 2**20

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?:bash)?\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TREE = next(block for block in BLOCKS if block.startswith("notebooks/"))
CODE = "\n".join(BLOCKS) + "\n".join(re.findall(r"`([^`\n]+)`", README))


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


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: page.name)
def test_every_path_is_there(page):
    code = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    paths = [w for w in code if re.fullmatch(r"(src|tests|docs|notebooks)/[\w./]+", w)]
    for path in paths:
        assert (ROOT / path).exists(), path


def test_every_module_exists():
    text = "\n".join(page.read_text(encoding="utf-8") for page in OF_TODAY)
    modules = set(re.findall(r"-m ((?:src|tests|docs)(?:\.[a-z_]+)*)", text))
    assert {"src.kaggle", "src.notebooks"} <= modules
    for module in modules:
        assert importlib.util.find_spec(module), module


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


def test_the_readme_takes_two_minutes():
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1300


@pytest.mark.parametrize("line", TREE.splitlines())
def test_the_tree_is_the_tree(line):
    folder = ROOT / "src" if line.startswith(" ") else ROOT
    name = line.split()[0]
    path = folder / name
    assert path.is_dir() if name.endswith("/") else path.is_file(), f"{line}: {path} is not there"


def test_every_room_of_the_top_is_in_the_tree():
    rooms = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name[0] not in "._"}
    rooms -= {"asl_signs.egg-info"}  # where pip notes that it is installed
    named = {line.split()[0].rstrip("/") for line in TREE.splitlines() if not line.startswith(" ")}
    assert rooms == named


def test_every_make_target_exists():
    targets = set(re.findall(r"^make ([a-z-]+)", CODE, re.MULTILINE))
    assert {"submission", "test"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_bare_python_is_said_to_be_that_of_the_environment():
    first = next(line for line in README.splitlines() if re.search(r"(?<!/)python -m", line))
    assert "`.venv/bin/python -m" in first


def test_every_parameter_is_declared_by_a_notebook():
    named = set(re.findall(r"\b([A-Z_]{4,})=", "\n".join(re.findall(r"make [^\n`]*", CODE))))
    named -= {"NAMES"}  # of benchmarks
    declared = {n for path in run.NOTEBOOKS.glob("0*.ipynb") for n in run.Notebook(path).defaults}
    assert {"DATA", "PROFILE", "RECIPES"} <= named <= declared


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ("", "-p PROFILE 'sample' -p RUN_DIR 'logs/sample'"),
        ("PROFILE=cpu", "-p PROFILE 'cpu' -p RUN_DIR 'logs/cpu'"),
        ("DATA=/Zoe\\'s PYTHON=python3", "-p DATA '/Zoe'\\''s' -p PROFILE 'sample'"),
        ("PROFIL=cpu", "-p PROFIL 'cpu' -p PROFILE 'sample'"),  # for the runner to refuse
    ],
)
def test_make_passes_on_what_it_is_given(given, passed_on):
    words = f"make --dry-run --assume-old=.venv/.installed submission {given}"
    said = subprocess.run(words, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"-m src.notebooks {passed_on}" in said.stdout


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ("DATA=/x make submission", True),
        ("RUN_DIR=logs/mine make live", True),
        ("PROFILE=full make submission RECIPES=llama", True),
        ("DATA=/x make submission DATA=", False),
        ("DATA=/x make help", False),
    ],
)
def test_make_refuses_parameters_of_the_environment(words, refused):
    words += " --dry-run --assume-old=.venv/.installed"
    said = subprocess.run(words, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert bool(said.returncode) == refused
    assert ("found in the environment" in said.stderr) == refused


@pytest.mark.parametrize("target", ["check-runtime", "live"])
def test_make_keeps_a_folder_of_several_words_together(target):
    words = ["make", "--dry-run", "--assume-old=.venv/.installed", target, "RUN_DIR=logs/Zoe's run"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert " 'logs/Zoe'\\''s run'\n" in said.stdout


def test_every_recipe_and_profile_exists():
    for names in re.findall(r"RECIPES=([a-z_,:0-9]+)", CODE):
        assert choose(names, "full")
    assert set(re.findall(r"PROFILE=([a-z]+)", CODE)) <= set(PROFILES)
    assert [name for name in SOLUTIONS if f"`{name}`" not in README] == []  # its table of solutions


def test_adding_a_solution_takes_at_most_forty_lines():
    section = README.split("## Adding a solution")[1].split("\n## ")[0]
    assert len(section.strip().splitlines()) <= 40
