"""Imports run one way, TensorFlow stays in its room, landmark numbers stay in landmarks.py.

Imports are read with `ast`, so that one inside a function counts as well.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from src.landmarks import N_LANDMARKS, PARTS

SRC = Path(__file__).parents[1] / "src"

# A room imports from lower floors and from itself; on the ground, from each other too. A new room
# must be given its floor here.
FLOORS = (
    ("common", "landmarks", "clips", "losses"),
    ("dataset", "transforms", "models", "plots"),
    ("recipes",),
    ("runs", "evaluation", "tflite"),
    ("training", "kaggle", "video"),
    ("submission", "motion", "notebooks"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONLY = {"plots": {"landmarks", "clips"}}  # figures from arrays: knows a clip and its edges

TENSORFLOW = {"tensorflow", "keras", "tf_keras", "ai_edge_litert", "tflite_runtime"}
TENSORFLOW |= {"onnx", "onnx2tf", "onnxruntime"}
ORACLES = {"transformers", "tests", "pytest", "hypothesis"}

FILES = sorted(SRC.rglob("*.py"))
NAMES = [str(path.relative_to(SRC)) for path in FILES]


def module_of(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, at any depth; of `from src.a import b` the deepest module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written from the root: from src.room import name"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in MODULES else node.module


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(module: str) -> str:
    return module.split(".")[1]


def refused(room: str, tree: ast.Module) -> list[str]:
    """The rooms that this one imports and must not."""
    others = {room_of(m) for m in imported(tree) if m.startswith("src.")} - {room}
    allowed = {other for other in FLOOR if FLOOR[other] < FLOOR[room]}
    allowed |= set(FLOORS[0]) if room in FLOORS[0] else set()
    return sorted(others - ONLY.get(room, allowed))


def test_the_whole_tree_is_looked_at():
    assert {"src.landmarks", "src.dataset.store", "src.models", "src.recipes.base"} <= MODULES


every_file = pytest.mark.parametrize("path", FILES, ids=NAMES)


@every_file
def test_imports_run_one_way_and_libraries_stay_in_their_rooms(path):
    room, tree = room_of(module_of(path)), parsed(path)
    assert room in FLOOR, f"{room}: which floor is it on? Say so in FLOORS"
    assert not refused(room, tree)
    libraries = {module.split(".")[0] for module in imported(tree)}
    assert not libraries & (ORACLES if room == "tflite" else ORACLES | TENSORFLOW)


def test_the_rule_finds_a_wrong_import():
    for room, line, culprit in (
        ("tflite", "from src.training.roles import Trainee", "training"),
        ("models", "from src.transforms.steps.frames import select", "transforms"),
        ("transforms", "import src.dataset.store", "dataset"),
        ("dataset", "def f():\n    from src import recipes", "recipes"),
        ("models", "from src.recipes import base", "recipes"),
        ("plots", "from src.losses import focal", "losses"),
        ("evaluation", "from src.training import fit", "training"),
    ):
        assert refused(room, ast.parse(line)) == [culprit]


def test_no_module_imports_itself_in_a_circle():
    graph = {module_of(p): {m for m in imported(parsed(p)) if m in MODULES} for p in FILES}
    while graph:
        free = {module for module, needs in graph.items() if not needs & graph.keys()}
        assert free, f"among these, each imports another: {sorted(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in free}


# A landmark number is an index or a member of a list of points. Numbers up to 32 are not looked at:
# they are axes, coordinates, kernel sizes, heads; the published subsets of the face have enough
# larger ones to be caught. Widths of layers are lists of large numbers, and go by their names;
# text[:300] cuts a text short, unless the number is where a part ends; 255 is in colours.
SUSPECT = {*range(33, N_LANDMARKS)} - {255}
PART_ENDS = set(np.cumsum([*PARTS.values()]).tolist())
SIZES = {"widths", "BUCKETS"}
TAKES_POINTS = {"range", "row", "rows"}
# Where lists of large numbers are joints of the motion study, per cent, or degrees.
NOT_POINTS = ("src.motion", "src.plots", "src.dataset.sample", "src.video.drawn")


def bare_indices(node: ast.AST) -> list[int]:
    """The lines in which a suspect number is used as an index or as a point."""
    inside = []
    match node:
        case ast.keyword(arg=name) | ast.AnnAssign(target=ast.Name(id=name)) if name in SIZES:
            return []
        case ast.Subscript(slice=ast.Slice(lower=None, upper=ast.Constant(value=end))) if (
            end not in PART_ENDS
        ):
            pass
        case ast.Subscript():
            inside = ast.walk(node.slice)
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in TAKES_POINTS:
            inside = node.args
        case ast.Tuple() | ast.List() | ast.Set():
            inside = node.elts
    numbers = [found for found in inside if isinstance(found, ast.Constant)]
    lines = [n.lineno for n in numbers if type(n.value) is int and n.value in SUSPECT]
    return lines + [line for child in ast.iter_child_nodes(node) for line in bare_indices(child)]


@every_file
def test_no_landmark_number_outside_landmarks(path):
    exempt = module_of(path).startswith(("src.landmarks", *NOT_POINTS))
    lines = [] if exempt else bare_indices(parsed(path))
    assert not lines, f"{path}:{lines}: name this landmark in landmarks.py"


FOUND = """xyz[:, 468:489]
xyz[..., 500, 0]
frame[:468]
LIPS = (61, 185, 40)
rows = [x for x in {78, 191}]
hand = range(522, 543)
layout.row(499)
Layout({'cheeks': (205, 425)})
FaceCutMix(parts=(61,))"""
PASSED = "Config(80, widths=(512, 768)); x.reshape(64, -1); xyz[:, 0:21, :2]; text[:300]"


def test_the_rule_finds_landmark_numbers_and_lets_others_pass():
    assert all(bare_indices(ast.parse(line)) for line in FOUND.splitlines())
    assert not bare_indices(ast.parse(PASSED))


# Only landmarks.py says how many rows a frame has: elsewhere it is N_LANDMARKS, in annotations,
# docstrings and messages too. The notebooks for Kaggle may run where src cannot be imported.
COUNT = re.compile(rf"(?<![\w.,]){N_LANDMARKS}(?![\w.,]\d)")


def counts(text: str) -> list[int]:
    """The lines that spell out the number of landmarks."""
    return [number for number, line in enumerate(text.splitlines(), 1) if COUNT.search(line)]


@every_file
def test_no_file_but_landmarks_knows_how_many_there_are(path):
    lines = [] if path == SRC / "landmarks.py" else counts(path.read_text(encoding="utf-8"))
    assert not lines, f"{path}:{lines}: say N_LANDMARKS, or src.clips.RawClip"


def test_the_rule_finds_the_number_of_landmarks_and_no_other():
    found = ['Float[np.ndarray, "T 543 3"]', "(T, 543, 3)", "x.reshape(-1, 543, 3)", "all 543."]
    passed = ["15439", "0.543", "1,543 clips", "543.2 ms", "543,000", "x_543"]
    assert all(counts(text) for text in found) and not any(counts(text) for text in passed)


def test_landmarks_needs_numpy_alone():
    """It is read in the environment that makes landmarks from video, where there is no torch."""
    needed = {module.split(".")[0] for module in imported(parsed(SRC / "landmarks.py"))}
    assert needed <= {"__future__", "dataclasses", "functools", "itertools", "numpy"}
