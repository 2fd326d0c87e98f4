"""How large the file will be, told before the training."""

import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest

from src.dataset.folds import EVERYTHING
from src.notebooks import notebooks
from src.recipes import choose
from src.runs import About, Run
from src.submission.outlook import outlook


@pytest.mark.parametrize(
    ("names", "folds", "words"),
    [
        ("conv_transformer", (0,), r"conv_transformer, some 3\.\d MB in 16 .* takes less than 40$"),
        ("llama,hierarchical", (0,), r"some 5\d\.\d MB in 16 .* need MEMBERS that fit$"),
        ("llama,hierarchical", (0, 1, EVERYTHING), r" 2\d\.\d MB in 8 .* takes the best .* fit$"),
    ],
)
def test_the_outlook_says_before_training_whether_all_will_fit(names, folds, words, tmp_path):
    """Against the sizes of the files, as README has them: 3.7, 18.6 and 32.9 MB in 16 bits."""
    run = Run(tmp_path, About("full", "", "", 0, (), (), folds))
    run.__dict__["recipes"] = {recipe.name: recipe for recipe in choose(names, "full")}
    run.__dict__["store"] = SimpleNamespace(signs=dict.fromkeys(range(250)))
    assert re.search(words, outlook(run))


def test_notebook_02_needs_no_tensorflow():
    """With it, the notebook's imports would take twice as long."""
    cells = nbformat.read(notebooks()["02"].path, as_version=4).cells
    lines = "\n".join(cell.source for cell in cells if cell.cell_type == "code").splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert "from src.submission.outlook import outlook" in imports
    asked = "\n".join([*imports, "import sys", "print({'tensorflow', 'onnx'} & {*sys.modules})"])
    assert subprocess.check_output([sys.executable, "-c", asked], text=True) == "set()\n"
