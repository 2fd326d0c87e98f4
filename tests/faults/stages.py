"""What is killed: each stage of the main path, tiny, in one folder, called as its users call it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np

from src import notebooks as run
from src.common.files import locked
from src.dataset import shards
from src.dataset import store as stores
from src.recipes import hand_bert
from src.runs import About, Run
from src.submission import assemble as submission
from src.tflite import export
from src.training.loop import Settings
from src.training.train_all import train_all
from tests.tiny import RECIPE

FOLDS = (0, 1)
FILE = np.random.default_rng(0).bytes(300_000)  # stands for a converted graph
NOTEBOOKS = {
    "01_first.ipynb": 'open(RUN_DIR + "/one.txt", "w").write("1")',
    "02_second.ipynb": (
        'one = open(RUN_DIR + "/one.txt").read()\nopen(RUN_DIR + "/two.txt", "w").write(one + "2")'
    ),
}


def build(folder: Path, data: Path) -> None:
    """A store of four shards."""
    shards.CLIPS_PER_SHARD = 8
    stores.build(data, folder, hand_bert.LAYOUT.sources, workers=1)


def train(folder: Path, store: Path) -> None:
    """One recipe on two folds."""
    about = About("sample", "the sample", str(store), 0, (), (RECIPE.name,), FOLDS)
    with locked(folder, "runs notebooks here"):  # 01_preparation, and the runner's lock
        opened = Run.create(folder, about, [RECIPE])
    train_all(opened, Settings(seed=0, precision="fp32", tests=1), "cpu")


def ship(folder: Path, _: Path) -> None:
    """A converted graph becomes files; the conversion itself writes nothing into the run."""
    export.build_graph = lambda members, options: None
    export.convert, export.check_runtime = (
        lambda graph, precision: FILE,
        lambda content, instead: None,
    )
    opened = Run(folder, About("sample", "", "", 0, (), (), FOLDS))
    vars(opened)["store"] = SimpleNamespace(signs={"hello": 0, "bye": 1})
    with locked(folder, "runs notebooks here"):  # as the runner does
        submission.write_submission(opened, export.write_tflite([], folder / "scored.tflite"), {})


def notebooks(folder: Path, _: Path) -> None:
    """Two notebooks; the second goes on with what the first has left."""
    run.NOTEBOOKS = folder.with_name(f"{folder.name}-notebooks")
    run.NOTEBOOKS.mkdir(exist_ok=True)
    for name, source in NOTEBOOKS.items():
        notebook = nbformat.v4.new_notebook()
        spec = {"name": "python3", "display_name": "", "language": "python"}
        notebook.metadata = {"kernelspec": spec}
        tagged = nbformat.v4.new_code_cell('RUN_DIR: str = "x"', metadata={"tags": [run.TAG]})
        tagged.id, cell = "a", nbformat.v4.new_code_cell(source, id="b")  # the same every time
        notebook.cells = [tagged, cell]
        nbformat.write(notebook, run.NOTEBOOKS / name)
    code = run.execute(["01", "02"], {run.RUN_DIR: str(folder)}, force=False, show=False)
    assert code == 0, code


STAGES: dict[str, Callable[[Path, Path], None]] = {
    "store": build,
    "training": train,
    "export": ship,
    "notebooks": notebooks,
}
