"""Both kernels, run as on Kaggle: its folders, its image, no network."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from src.kaggle.build import Upload, build
from src.notebooks import QUIET
from src.tflite.scorer import score

SMALL = "--epochs 1 --steps 2 --model.depth 1 --model.hidden 32 --model.heads 2"
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Path:
    """An empty /kaggle, and the environment variables of a kernel there."""
    tree = tmp_path / "kaggle"
    for name in ("input", "working"):
        (tree / name).mkdir(parents=True)
    site = tmp_path / "site"
    site.mkdir()
    shutil.copyfile(HERE / "image.py", site / "sitecustomize.py")
    kernels = {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "KAGGLE_ROOT": str(tree), "PYTHONPATH": str(site)}
    for name, value in (kernels | QUIET).items():
        monkeypatch.setenv(name, value)
    for name in ("ASL_SIGNS_DIR", "JUPYTER_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tree


@pytest.fixture
def mounted(kaggle, run, sample) -> Callable[..., Upload]:
    """Builds the run's upload, and attaches its dataset and the competition, that at `place`."""

    def mount(*parameters: str, place: str = "asl-signs") -> Upload:
        upload = build(run, "somebody", *parameters)
        shutil.copytree(upload.dataset, kaggle / "input" / upload.name)
        competition = kaggle / "input" / place
        competition.parent.mkdir(parents=True, exist_ok=True)
        competition.symlink_to(sample)
        return upload

    return mount


def execute(path: Path, kaggle: Path, kernel: str = "python3", **parameters) -> str:
    """Run a kernel headlessly. Returns all that it printed."""
    places = {"INPUT": str(kaggle / "input"), "WORKING": str(kaggle / "working")}
    done = papermill.execute_notebook(
        str(path),
        str(kaggle / "working/__notebook__.ipynb"),
        parameters=places | parameters,
        kernel_name=kernel,
        cwd=str(kaggle / "working"),
        progress_bar=False,
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
    )
    outputs = [output for cell in done.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


LOOK = """
import importlib.util as u
import urllib.request
from importlib.metadata import packages_distributions as p

print([u.find_spec(n) for n in ("onnx2tf", "ai_edge_litert", "src", "tyro")])
print("onnx2tf" in p(), u.find_spec("numpy") is not None)
try:
    urllib.request.urlopen("http://203.0.113.1", timeout=5)
except OSError as error:
    print(error)
"""


def test_the_image_lacks_the_checkout_and_the_network(kaggle):
    """Otherwise a kernel that uses the checkout or the network would pass the other tests."""
    said = subprocess.check_output([sys.executable, "-c", LOOK], text=True, cwd=kaggle / "working")
    assert "[None, None, None, None]\nFalse True\n" in said
    assert "no network here" in said


@pytest.mark.slow
@pytest.mark.parametrize("place", ["asl-signs", "competitions/asl-signs"])
def test_the_submit_kernel_scores_and_packs(kaggle, run, sample, mounted, place):
    said = execute(mounted(place=place).submit / "submit.ipynb", kaggle, CLIPS=10_000)
    with zipfile.ZipFile(kaggle / "working/submission.zip") as archive:
        assert archive.namelist() == ["model.tflite"]
        assert archive.read("model.tflite") == (run.folder / "model.tflite").read_bytes()
    # The oracle of the kernel's own scoring is this project's scorer, on the same clips.
    expected = score(run.folder / "model.tflite", sample)
    assert f"accuracy {expected.accuracy:.2%} of {expected.clips} clips, 4 signs" in said
    assert re.search(r"\d+\.\d\d MB, mean \d+\.\d\d ms", said)


@pytest.mark.slow
def test_the_submit_kernel_refuses_what_the_competition_would(kaggle, mounted):
    upload = mounted()
    kernel = upload.submit / "submit.ipynb"
    model = kaggle / "input" / upload.name / "model.tflite"
    with model.open("ab") as file:
        file.truncate(40_000_000)
    with pytest.raises(PapermillExecutionError, match=r"40\.00 MB of 40"):
        execute(kernel, kaggle)
    assert not (kaggle / "working/submission.zip").exists()
    model.unlink()
    with pytest.raises(PapermillExecutionError, match=r"expected one model\.tflite, found"):
        execute(kernel, kaggle)


@pytest.mark.slow
def test_the_training_kernel_runs_the_numbered_notebooks(kaggle, mounted):
    """From the mounted clips to submission.zip, without onnx2tf."""
    upload = mounted("cpu", "llama", SMALL, place="competitions/asl-signs")
    said = execute(upload.train / "train.ipynb", kaggle)
    working = kaggle / "working"
    folder = working / "logs/kaggle"
    for number in ("01", "02", "03", "04"):
        (executed,) = folder.glob(f"{number}_*.ipynb")
        assert executed.name in said
    assert f"Kaggle: {sys.executable}, {working}" in (folder / executed.name).read_text()
    facts = json.loads((folder / "report.json").read_text())
    assert facts["data"] == "../input/competitions/asl-signs"  # from the checkout, here `working`
    assert facts["versions"]["interpreter"].startswith("tensorflow ")
    assert facts["parity"] and all(rung["passed"] for rung in facts["parity"].values())
    assert not any("ONNX" in name for name in facts["parity"])
    with zipfile.ZipFile(working / "submission.zip") as archive:
        assert archive.read("model.tflite") == (folder / "model.tflite").read_bytes()
    assert not (working / "input").exists()


@pytest.mark.slow
def test_the_starter_needs_no_clips(kaggle, run):
    """The dataset alone is attached; 01 draws the sample, on which the rest runs as at home."""
    upload = build(run, "somebody")
    shutil.copytree(upload.dataset, kaggle / "input" / upload.name)
    said = execute(upload.starter / "starter.ipynb", kaggle, NOTEBOOKS="01")
    assert "01_preparation.ipynb" in said
    made = json.loads((kaggle / "working/logs/kaggle/run.json").read_text())
    assert made["profile"] == "sample"


@pytest.mark.slow
def test_the_submit_kernel_runs_by_kaggles_python(kaggle, mounted, monkeypatch, tmp_path):
    """By Python 3.12 with packages of the image's age, if `make kaggle-env` has been run."""
    python = ROOT / ".venv-kaggle/bin/python"
    if not (ROOT / ".venv-kaggle/.installed").is_file():
        pytest.skip("needs .venv-kaggle, some 2 GB: make kaggle-env")
    words = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": words, "display_name": "Kaggle", "language": "python"}
    folder = tmp_path / "jupyter/kernels/kaggle"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    execute(mounted().submit / "submit.ipynb", kaggle, kernel="kaggle")
    assert (kaggle / "working/submission.zip").is_file()
