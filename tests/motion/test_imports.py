"""Imports inside src/motion run one way: body; metrics; data and models; training; study."""

import ast
from pathlib import Path

import pytest

from tests.test_imports import imported, parsed

MOTION = Path(__file__).parents[2] / "src" / "motion"
# A folder imports from itself and from lower floors; metrics also from body, which it is beside.
FLOORS = (("body",), ("metrics",), ("data", "models"), ("training",), ("study",))
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = [path for path in sorted(MOTION.rglob("*.py")) if path.parent != MOTION]
FILES.append(MOTION / "metrics.py")


def room_of(path: Path) -> str:
    return path.relative_to(MOTION).with_suffix("").parts[0]


def refused(room: str, tree: ast.Module) -> set[str]:
    """The parts of src.motion that a file imports, at any depth, and must not."""
    rooms = {name.split(".")[2] for name in imported(tree) if name.startswith("src.motion.")}
    return {other for other in rooms - {room} if FLOOR[other] >= FLOOR[room]}


def test_motion_is_five_folders_and_the_metrics():
    assert {room_of(path) for path in FILES} == FLOOR.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(MOTION)))
def test_imports_run_one_way(path):
    assert not refused(room_of(path), parsed(path))


def test_the_rule_finds_a_wrong_import():
    inside = ast.parse("def f():\n    from src.motion.training import loop")
    assert refused("models", inside) == {"training"}
    assert refused("data", ast.parse("from src.motion import models")) == {"models"}


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.rglob("test_*.py")), ids=str)
def test_tests_mirror_the_tree(path):
    folder = path.parent.relative_to(Path(__file__).parent)
    assert (MOTION / folder).is_dir()
