"""The folders for Kaggle, checked against its rules for metadata."""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import nbformat
import pytest

from src.common.errors import InputError
from src.common.files import write_json
from src.kaggle import __main__ as command
from src.kaggle.build import FILES, Upload, build, slug
from src.kaggle.wheels import BROUGHT
from src.notebooks import Notebook
from src.recipes import choose
from src.runs import Run


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
    assert "asl_signs-0.1.0-py3-none-any.whl" in wheels and len(wheels) == 1 + len(BROUGHT)
    for name in FILES:
        assert (upload.dataset / name).read_bytes() == (run.folder / name).read_bytes()
    about = metadata(upload.dataset)
    assert about["id"] == "somebody/asl-signs-tiny" and len(about["licenses"]) == 1
    assert 6 <= len(about["title"]) <= 50


@pytest.mark.parametrize("kind", ["submit", "train", "starter"])
def test_a_kernel_is_a_notebook_without_outputs_by_kaggles_rules(upload, kind):
    folder = getattr(upload, kind)
    found = metadata(folder)
    # "A kernel slug is always the title lowercased with dashes replacing spaces."
    assert found["id"] == f"somebody/{found['title'].lower().replace(' ', '-')}"
    assert len(found["title"]) <= 50
    assert found["enable_internet"] is False and found["enable_gpu"] is (kind == "train")
    # No prefixes such as datasets/ or code/, which `kernels pull` writes and `push` refuses.
    assert found["dataset_sources"] == [metadata(upload.dataset)["id"]]
    assert found["docker_image_pinning_type"] == "original"
    assert found["competition_sources"] == ([] if kind == "starter" else ["asl-signs"])

    path = folder / found["code_file"]
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    defaults = Notebook(path).defaults
    assert defaults["INPUT"] == "/kaggle/input" and defaults["WORKING"] == "/kaggle/working"


def test_the_starter_is_the_sample_of_the_runs_recipes(upload):
    found = Notebook(upload.starter / "starter.ipynb").defaults
    assert (found["PROFILE"], found["RECIPES"], found["OVERRIDES"]) == ("sample", "llama", "")


def test_the_training_kernel_has_the_values_given_last_and_nothing_of_an_earlier_build(run, upload):
    found = Notebook(upload.train / "train.ipynb").defaults
    assert (found["PROFILE"], found["RECIPES"]) == ("cpu", "llama")
    assert found["OVERRIDES"] == "--epochs 3"
    (upload.dataset / "stale.txt").touch()
    text = "--distil.teacher 'a\"\nb'"  # any text stays text
    other = build(run, "somebody", recipes="llama", overrides=text)
    assert Notebook(other.train / "train.ipynb").defaults["OVERRIDES"] == text
    assert not (upload.dataset / "stale.txt").exists()


def test_both_kernels_that_train_ask_for_what_the_run_asked_for(run):
    """The names of a pupil's recipes, one by one, would ship its teachers, too."""
    names = tuple(recipe.name for recipe in choose("pupil", "cpu"))
    about = replace(run.about, recipes=names, asked="pupil")
    for asked, expected in (("pupil", "pupil"), ("", ",".join(names))):  # older runs do not tell
        upload = build(Run(run.folder, replace(about, asked=asked)), "somebody")
        for folder in (upload.train, upload.starter):
            found = Notebook(folder / f"{folder.name}.ipynb").defaults["RECIPES"]
            assert found == expected
            assert (len([r for r in choose(found, "sample") if r.ships]) == 2) == bool(asked)


@pytest.mark.parametrize("name", FILES)
def test_an_unfinished_run_is_refused(run, name):
    (run.folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: expected a file that 04 writes; run 04"):
        build(run, "somebody")


@pytest.mark.parametrize("given", [["--overrides", "--epochs 40"], ["--overrides=--epochs 40"]])
def test_the_command_takes_overrides_as_the_page_writes_them(run, given):
    (run.folder / "run.json").write_text(json.dumps(asdict(run.about)))
    command.main(["build", "--run", str(run.folder), *given, "--user", "somebody"])
    found = Notebook(run.folder / "kaggle/train/train.ipynb").defaults
    assert (found["OVERRIDES"], found["RECIPES"]) == ("--epochs 40", "llama")


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        *(({"user": name}, "--user: expected the name") for name in ("", "Some Body", "../up")),
        ({"recipes": "lama"}, "RECIPES: no solution or recipe 'lama'"),
        ({"overrides": "--epoch 3"}, "OVERRIDES: '--epoch 3' for llama: Unrecognized"),
        ({"overrides": "--epochs 0"}, "llama.epochs: expected more than 0, found 0"),
    ],
)
def test_what_a_kernel_would_refuse_is_refused_here(run, asked, refused):
    with pytest.raises(InputError, match=refused):
        build(run, **{"user": "somebody"} | asked)
    assert not (run.folder / "kaggle").exists()


def test_a_slug_is_made_of_the_runs_name_or_refused():
    """Runs whose names make none would all be one dataset, mounted where the competition is."""
    assert slug(Path("logs/Full run_2")) == "asl-signs-full-run-2"
    assert len(slug(Path("x" * 32)) + "-starter") == 50
    for name in ("x" * 33, "-ü-", "проба"):
        with pytest.raises(InputError, match=f"{name}: expected a name with a letter from a to z"):
            slug(Path(name))


def test_the_commands_can_be_copied_whatever_the_path(run):
    folder = run.folder.rename(run.folder.with_name("my run"))
    said = str(build(Run(folder, run.about), "somebody"))
    lines = [line.partition("#")[0].rpartition(": ")[2] for line in said.splitlines()]
    words = [shlex.split(line) for line in lines if " -p " in line]
    places = [line[line.index("-p") + 1] for line in words]
    kinds = ("dataset", "dataset", "submit", "train", "starter")
    assert places == [str(folder / "kaggle" / kind) for kind in kinds]


def test_the_command_builds_the_folders_and_prints_how_to_upload_them(run, capsys):
    (run.folder / "run.json").write_text(json.dumps(asdict(run.about)))
    command.build(run=str(run.folder), user="somebody")
    said = capsys.readouterr().out
    folder = run.folder / "kaggle"
    dataset, submit = (f"{kind} -p {folder}" for kind in ("datasets create", "kernels push"))
    last = "kaggle competitions submit asl-signs -k somebody/asl-signs-tiny-submit"
    steps = ["accept the rules", f"kaggle {dataset}/dataset", f"kaggle {submit}/submit", last]
    assert sorted(steps, key=said.index) == steps
    with pytest.raises(InputError, match="01_preparation"):
        command.build(run=str(run.folder / "nowhere"), user="somebody")


SUBMITS = ("tiny/kaggle/submit", "asl-signs-tiny-submit", "competitions submit")


def test_a_run_of_other_clips_is_not_told_how_to_submit(run):
    """Of an older run nobody knows whose clips they are: it is told, as a run of theirs is."""
    for facts in (None, {"accuracy": 0.5}, {"origin": "competition"}):
        if facts is not None:
            write_json(run.folder / "report.json", facts)
        said = str(build(run, "somebody"))
        assert all(words in said for words in SUBMITS) and "nothing to submit" not in said
    write_json(run.folder / "report.json", {"origin": "synthetic"})
    said = str(build(run, "somebody"))
    assert not any(words in said for words in SUBMITS)
    assert "\nnothing to submit: the run was not trained on the competition's clips" in said
    for kind in ("train", "starter"):
        assert f"kernels push -p {run.folder}/kaggle/{kind}" in said
