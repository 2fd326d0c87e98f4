"""README stays true: its tree, its commands, the names it uses."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from src import notebooks as run
from src.recipes import SOLUTIONS, choose
from src.recipes.profiles import PROFILES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?:bash)?\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TREE = next(block for block in BLOCKS if block.startswith("notebooks/"))
CODE = "\n".join(BLOCKS) + "\n".join(re.findall(r"`([^`\n]+)`", README))


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


def test_every_module_exists():
    modules = set(re.findall(r"-m ((?:src|tests)[a-z_.]*)", CODE))
    assert {"src.kaggle", "src.notebooks"} <= modules
    for module in modules:
        assert importlib.util.find_spec(module), module


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


def test_every_recipe_and_profile_exists():
    for names in re.findall(r"RECIPES=([a-z_,]+)", CODE):
        assert choose(names, "full")
    assert set(re.findall(r"PROFILE=([a-z]+)", CODE)) <= set(PROFILES)
    assert all(f"`{name}`" in README for name in SOLUTIONS)


def test_adding_a_solution_takes_at_most_forty_lines():
    section = README.split("## Adding a solution")[1].split("\n## ")[0]
    assert len(section.strip().splitlines()) <= 40
