"""The folders for Kaggle, checked against its rules for metadata."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest

from src.common.errors import InputError
from src.kaggle import __main__ as command
from src.kaggle.build import Upload, build, slug
from src.kaggle.wheels import BROUGHT
from src.notebooks import Notebook


@pytest.fixture
def upload(run) -> Upload:
    return build(run, "somebody", "cpu", overrides="--epochs 3")


def metadata(folder: Path) -> dict:
    (path,) = folder.glob("*-metadata.json")
    return json.loads(path.read_text())


def test_the_dataset_is_flat_and_whole(run, upload):
    found = {path.name for path in upload.dataset.iterdir()}
    assert all(path.is_file() for path in upload.dataset.iterdir())
    wheels = {name for name in found if name.endswith(".whl")}
    assert found - wheels == {"model.tflite", "model_card.md", "dataset-metadata.json"}
    assert "asl_signs-0.1.0-py3-none-any.whl" in wheels
    assert len(wheels) == 1 + len(BROUGHT)
    for name in ("model.tflite", "model_card.md"):
        assert (upload.dataset / name).read_bytes() == (run.folder / name).read_bytes()


def test_the_datasets_metadata_follow_kaggles_rules(upload):
    found = metadata(upload.dataset)
    assert found["id"] == "somebody/asl-signs-tiny"
    assert 6 <= len(found["title"]) <= 50
    assert len(found["licenses"]) == 1


@pytest.mark.parametrize("kind", ["submit", "train"])
def test_a_kernels_metadata_follow_kaggles_rules(upload, kind):
    folder = getattr(upload, kind)
    found = metadata(folder)
    # "A kernel slug is always the title lowercased with dashes replacing spaces."
    assert found["id"] == f"somebody/{found['title'].lower().replace(' ', '-')}"
    assert len(found["title"]) <= 50
    assert (folder / found["code_file"]).is_file()
    assert found["enable_internet"] is False and found["enable_gpu"] is (kind == "train")
    # No prefixes such as datasets/ or code/, which `kernels pull` writes and `push` refuses.
    assert found["dataset_sources"] == [metadata(upload.dataset)["id"]]
    assert found["competition_sources"] == ["asl-signs"]


@pytest.mark.parametrize("kind", ["submit", "train"])
def test_a_kernel_is_a_notebook_without_outputs(upload, kind):
    path = getattr(upload, kind) / f"{kind}.ipynb"
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    defaults = Notebook(path).defaults
    assert defaults["INPUT"] == "/kaggle/input" and defaults["WORKING"] == "/kaggle/working"


def test_the_training_kernel_has_the_runs_recipes_and_the_given_values(run, upload):
    found = Notebook(upload.train / "train.ipynb").defaults
    assert (found["PROFILE"], found["RECIPES"]) == ("cpu", "llama")
    assert found["OVERRIDES"] == "--epochs 3"
    other = build(run, "somebody", recipes="a\"\n'b")  # any text stays text
    assert Notebook(other.train / "train.ipynb").defaults["RECIPES"] == "a\"\n'b"


def test_a_second_build_leaves_nothing_of_the_first(run, upload):
    (upload.dataset / "stale.txt").touch()
    build(run, "somebody")
    assert not (upload.dataset / "stale.txt").exists()


@pytest.mark.parametrize("name", ["model.tflite", "model_card.md"])
def test_an_unfinished_run_is_refused(run, name):
    (run.folder / name).unlink()
    with pytest.raises(InputError, match=f"{re.escape(name)}: expected what 04 writes; run 04"):
        build(run, "somebody")


@pytest.mark.parametrize("user", ["", "Some Body", "../up", "https://kaggle.com/x"])
def test_a_wrong_user_name_is_refused(run, user):
    with pytest.raises(InputError, match="--user: expected the name"):
        build(run, user)
    assert not (run.folder / "kaggle").exists()


def test_slugs():
    assert slug("asl-signs-Full run_2") == "asl-signs-full-run-2"
    for text in ("x" * 44, "-ü-", "abc"):
        with pytest.raises(InputError, match="expected a name that makes a slug"):
            slug(text)
    assert len(slug("x" * 43) + "-submit") == 50


def test_the_command_builds_the_folders_and_prints_how_to_upload_them(run, capsys):
    (run.folder / "run.json").write_text(json.dumps(asdict(run.about)))
    command.build(run=str(run.folder), user="somebody")
    said = capsys.readouterr().out
    steps = (
        "accept the rules",
        f"kaggle datasets create -p {run.folder / 'kaggle/dataset'}",
        f"kaggle kernels push -p {run.folder / 'kaggle/submit'}",
        "kaggle competitions submit asl-signs -k somebody/asl-signs-tiny-submit",
    )
    assert sorted(steps, key=said.index) == list(steps)
    with pytest.raises(InputError, match="01_preparation"):
        command.build(run=str(run.folder / "nowhere"), user="somebody")
