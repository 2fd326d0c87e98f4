"""The notebook runner, on notebooks of two cells."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args
from unittest.mock import Mock

import nbformat
import pytest

from src import notebooks as run
from src.common.errors import InputError
from src.common.files import locked
from src.common.paths import SIGN_MAP, root
from src.evaluation import ensemble
from src.tflite import export, parity
from src.tflite.converter import convert
from src.training import loop

FIRST = 'N: int = 1\nRUN_DIR: str = "x"\nNAME: str = "a"'
REFUSES = "from src.common.errors import InputError\nraise InputError('NAME: no such thing')"
SECOND = 'RUN_DIR: str = "x"\nRATE: float = 0.5\nLOUD: bool = False'


def write(folder: Path, name: str, parameters: str, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook()
    kernel = {"name": "python3", "display_name": "", "language": "python"}
    notebook.metadata = {"kernelspec": kernel}
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook.cells = [tagged, *(nbformat.v4.new_code_cell(cell) for cell in cells)]
    nbformat.write(notebook, folder / name)


@pytest.fixture
def notebooks(tmp_path, monkeypatch) -> Path:
    """01 writes N to a file, 02 fails above a rate of 1."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    target = tmp_path / "ran"
    write(folder, "01_first.ipynb", FIRST, f'open({str(target)!r}, "a").write(str(N))')
    failing = (
        "from src.common.errors import InputError\nif RATE > 1:\n    raise InputError('too fast')"
    )
    write(folder, "02_second.ipynb", SECOND, failing, f'open({str(target)!r}, "a").write("s")')
    monkeypatch.setattr(run, "NOTEBOOKS", folder)
    monkeypatch.setenv("TQDM_MININTERVAL", "20")
    return tmp_path


def ran(folder: Path) -> str:
    path = folder / "ran"
    return path.read_text() if path.exists() else ""


def execute(folder: Path, numbers: list[str], **values) -> int:
    return run.execute(numbers, {"RUN_DIR": str(folder / "logs"), **values}, False, False)


def test_unknown_parameters_are_refused_before_anything_runs(notebooks):
    with pytest.raises(
        InputError,
        match=r"^NAMES: expected .* Did you mean NAME\? There are N, RUN_DIR, NAME, RATE, LOUD",
    ):
        run.parse([["N", "2"], ["NAMES", "1"]])
    assert ran(notebooks) == ""


def test_values_get_the_declared_type_or_are_refused(notebooks):
    given = [["N", "3"], ["NAME", "3"], ["RATE", "2"], ["LOUD", "True"]]
    parsed = [(type(value), value) for value in run.parse(given).values()]
    assert parsed == [(int, 3), (str, "3"), (float, 2.0), (bool, True)]
    for name, text in (("N", "x"), ("N", "1.5"), ("N", "True"), ("LOUD", "1")):
        with pytest.raises(InputError, match=f"{name}: expected"):
            run.parse([[name, text]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DEVICE", "tpu"), ("PRECISION", "fp8"), ("WEIGHTS", "int7"), ("EXPORTER", "onnx"),
        ("SECOND_ROUTE", "two"), ("ENSEMBLE", "best"), ("LIMIT", "-3"), ("FPS", "-1.5"),
        ("DATA", "no/such"), ("EXTRA_DATA", "src,no/such"), ("RUN_DIR", ""), ("RUN_DIR", "."),
        ("RUN_DIR", "notebooks/"), ("RUN_DIR", "logs/.."),
    ],
)  # fmt: skip
def test_a_value_that_a_later_notebook_would_refuse_is_refused_at_once(name, text):
    with pytest.raises(InputError, match=f"^{name}: expected .*, found "):
        run.parse([[name, text]])


def test_the_choices_are_those_of_the_rooms_that_use_them():
    rooms = {
        "PRECISION": loop.Precision, "WEIGHTS": convert.Precision, "EXPORTER": export.Route,
        "SECOND_ROUTE": parity.SecondRoute, "ENSEMBLE": ensemble.Rule,
    }  # fmt: skip
    for name, literal in rooms.items():
        assert {*run.CHOICES[name]} - {""} == {*get_args(literal)}
    assert all(run.parse([[name, text]]) for name, texts in run.CHOICES.items() for text in texts)


WRITTEN = """
from src.common.errors import InputError
from src.tflite import export, parity
from src.training import loop
for use in (
    lambda: loop.Settings(precision="f16"),
    lambda: export.ExportOptions("fp8"),
    lambda: export.ExportOptions(route="onnx"),
    lambda: parity.ladder(None, [], "yes"),
):
    try:
        use()
    except InputError as error:
        print(error)
"""


def test_a_value_that_somebody_writes_into_a_copy_is_refused_where_it_is_used():
    """Nothing has looked at it before: fp8 became 8 bits. (Here, types are checked as well.)"""
    command = [sys.executable, "-c", WRITTEN]
    ran = subprocess.run(command, cwd=root(), capture_output=True, text=True)
    assert ran.stdout.splitlines() == [
        "PRECISION: expected 'auto' or 'fp32' or 'bf16' or 'fp16', found 'f16'",
        "WEIGHTS: expected 'fp32' or 'fp16' or 'int8', found 'fp8'",
        "EXPORTER: expected 'table' or 'onnx2tf', found 'onnx'",
        "SECOND_ROUTE: expected 'none' or 'one' or 'all', found 'yes'",
    ], ran.stderr


@pytest.mark.slow
def test_a_failure_says_where_and_how_to_go_on(notebooks, capsys):
    assert execute(notebooks, ["01", "02"], N=7, RATE=2.0) == 1
    said = capsys.readouterr().out
    assert "FAILED  02_second, cell In [3]: too fast" in said
    assert ran(notebooks) == "7"
    # The printed command is the one that goes on, with the same parameters.
    line = next(line for line in said.splitlines() if line.startswith("go on from here: "))
    words = shlex.split(line.removeprefix("go on from here: "))
    assert words[:3] == [sys.executable, "-m", "src.notebooks"]
    given = ["-p", "RUN_DIR", str(notebooks / "logs"), "-p", "N", "7", "-p", "RATE", "2.0"]
    assert words[3:] == ["02", *given]

    # What is finished is skipped; a changed parameter runs its notebook and those after it again.
    assert execute(notebooks, ["01", "02"], N=7, RATE=0.5) == 0
    assert ran(notebooks) == "7s"
    assert "01_first               already done" in capsys.readouterr().out
    assert execute(notebooks, ["01", "02"], N=8, RATE=0.5) == 0
    assert execute(notebooks, ["01", "02"], N=8, RATE=0.5) == 0
    assert ran(notebooks) == "7s8s"
    executed = nbformat.read(notebooks / "logs" / "01_first.ipynb", 4)
    assert executed.cells[-1].execution_count is not None


@pytest.mark.slow
def test_a_refused_value_is_not_repeated_and_leaves_no_folder(notebooks, capsys):
    write(notebooks / "notebooks", "01_first.ipynb", FIRST, REFUSES)
    assert execute(notebooks, ["01"], NAME="nothing", RATE=0.5) == 1
    said = capsys.readouterr().out
    assert "NAME: no such thing" in said and said.endswith("go on with another NAME\n")
    assert not (notebooks / "logs").exists() and str(notebooks / "logs") not in said
    (notebooks / "logs").mkdir()  # what was there before stays
    assert execute(notebooks, ["01"], NAME="nothing", RATE=0.5) == 1
    assert (notebooks / "logs" / "01_first.ipynb").is_file()


@pytest.mark.slow
def test_a_value_that_a_second_notebook_refuses_does_not_cost_what_the_first_has_made(notebooks):
    write(notebooks / "notebooks", "02_second.ipynb", SECOND, REFUSES)
    assert execute(notebooks, ["01", "02"], NAME="nothing") == 1
    assert (notebooks / "logs" / "01_first.ipynb").is_file()


@pytest.mark.slow
def test_a_folder_may_have_any_name_and_what_is_gone_there_or_new_in_data_runs_again(notebooks):
    folder, motion = notebooks / "zwei Wörter {N} 100%", notebooks / "motion/walk.bvh"
    motion.parent.mkdir()
    motion.write_text("one")
    for change, expected in (
        (lambda: None, "1"),
        (lambda: None, "1"),
        ((folder / "01_first.ipynb").unlink, "11"),
        (lambda: motion.write_text("two and more"), "111"),
    ):
        change()
        values = {"RUN_DIR": f"{folder}/", "DATA": str(motion.parent)}
        assert run.execute(["01"], values, False, False) == 0
        assert ran(notebooks) == expected


@pytest.mark.slow
def test_cells_news_reach_the_terminal_and_librarys_words_the_log(notebooks, capsys, monkeypatch):
    """With the interpreter of this test, although another kernel of the usual name comes first."""
    other = notebooks / "kernels" / "python3" / "kernel.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"argv": ["/no/such/python"], "display_name": "", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(notebooks))
    said = (
        "import os, sys\nprint('epoch 1')\nprint(sys.executable)\nos.write(2, b'greet' + b'ings')"
    )
    write(notebooks / "notebooks", "01_first.ipynb", FIRST, said)
    assert execute(notebooks, ["01"]) == 0
    out = capsys.readouterr().out
    assert "      epoch 1\n" in out and f"      {sys.executable}\n" in out
    assert "greetings" not in out
    assert (notebooks / "logs" / "01_first.log").read_text() == "greetings"
    assert "greetings" not in (notebooks / "logs" / "01_first.ipynb").read_text()


def test_help_lists_every_parameter_with_its_meaning(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["notebooks", "--help"])
    with pytest.raises(SystemExit):
        run.main()
    said = capsys.readouterr().out
    assert "  RECIPES = ''                     solutions or members, as llama,hand_bert:3 (" in said
    for path in run.NOTEBOOKS.glob("[0-9]*.ipynb"):
        for name in run.Notebook(path).defaults:
            assert re.search(rf"^  {name} = .+  \w", said, re.MULTILINE), name


@pytest.mark.parametrize("flag", ["--epochs=30", "--no-ships", "--epochs 30", "-1"])
def test_a_value_may_look_like_a_flag(flag, monkeypatch):
    given = []
    monkeypatch.setattr(sys, "argv", ["notebooks", "01", "-p", "OVERRIDES", flag, "--show"])
    monkeypatch.setattr(run, "execute", lambda *those: given.extend(those) or 0)
    run.main()
    assert given == [["01"], {"OVERRIDES": flag}, False, True]


@pytest.mark.parametrize("at", ["parse", "execute"])
def test_an_interruption_repeats_the_command(notebooks, capsys, monkeypatch, at):
    monkeypatch.setattr(sys, "argv", ["notebooks", "01", "-p", "NAME", "two words"])
    monkeypatch.setattr(run, at, Mock(side_effect=KeyboardInterrupt))
    assert run.main() == 130
    again = capsys.readouterr().err.strip().removeprefix("interrupted; go on from here: ")
    assert shlex.split(again)[1:] == ["-m", "src.notebooks", "01", "-p", "NAME", "two words"]


@pytest.mark.slow
def test_what_came_of_old_results_is_not_finished_any_more(notebooks, capsys):
    """Also when only the earlier notebook is asked for, with the same parameters."""
    assert execute(notebooks, ["01", "02"], RATE=0.5) == 0
    values = {"RUN_DIR": str(notebooks / "logs"), "RATE": 0.5}
    study = notebooks / "logs" / ".finished" / "05_study.json"
    study.write_text("{}")
    assert run.execute(["01"], values, force=True, show=False) == 0
    assert ran(notebooks) == "1s1"
    capsys.readouterr()
    assert execute(notebooks, ["01", "02"], RATE=0.5) == 0
    assert "01_first               already done" in capsys.readouterr().out
    assert ran(notebooks) == "1s1s"
    assert study.is_file()  # reads nothing of theirs


@pytest.mark.slow
def test_a_value_that_only_an_earlier_notebook_reads_is_the_one_it_had(notebooks):
    """Else what another value made would be shown as this one's."""
    write(notebooks / "notebooks", "05_study.ipynb", FIRST)
    assert execute(notebooks, ["05"], N=9) == 0  # of which 01 to 04 know nothing
    assert execute(notebooks, ["01"], N=7) == 0
    for values in ({"N": 8}, {"N": 7, "NAME": "b"}):
        with pytest.raises(InputError, match="with which 01_first has run here, found"):
            execute(notebooks, ["02"], **values)
    assert execute(notebooks, ["02"], N=7, NAME="a") == 0
    assert execute(notebooks, ["01", "02"], N=8) == 0


@pytest.mark.slow
def test_a_notebook_runs_again_if_something_that_it_left_is_gone(notebooks, capsys):
    weights = notebooks / "logs" / "tiny" / "fold0" / "student.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert execute(notebooks, ["01", "02"], RATE=0.5) == 0
    weights.unlink()
    assert execute(notebooks, ["01", "02"], RATE=0.5) == 0
    assert f"running again because of changes: {weights} is gone" in capsys.readouterr().out
    assert ran(notebooks) == "1ss"


@pytest.mark.parametrize("parameter", ["DATA", "EXTRA_DATA", "LISTS", "SIGNS", "AUTHORS_WEIGHTS"])
def test_every_input_counts_and_nothing_else(tmp_path, parameter):
    folder, beside = tmp_path / "data", tmp_path / "beside.npz"
    (folder / "train").mkdir(parents=True)
    values = {"DATA": "", parameter: f"{folder}"}
    seen = [run._inputs(values)]
    beside.write_text("x")
    assert run._inputs(values) == seen[0]
    first, second = (folder / "train" / name for name in ("a.bvh", "b.bvh"))
    for change in (
        lambda: first.write_text("x"),
        lambda: first.rename(second),
        lambda: second.write_text("changed"),
        lambda: second.write_text("as long"),  # as before
    ):
        change()
        seen.append(run._inputs(values))
    assert all(one != other for one, other in itertools.combinations(seen, 2))
    # Of several every one counts, also a file.
    values = {"EXTRA_DATA": f"{folder}, {beside}"}
    before = run._inputs(values)
    beside.write_text("ab")
    assert run._inputs(values) != before


@pytest.mark.parametrize("name", ["list.csv", "videos"])
def test_videos_of_a_list_and_behind_links_count(tmp_path, name):
    video = tmp_path / "elsewhere" / "hi" / "1.mp4"
    (tmp_path / "videos").mkdir()
    video.parent.mkdir(parents=True)
    video.write_text("x")
    (tmp_path / "videos" / "ann").symlink_to(video.parents[1])
    (tmp_path / "list.csv").write_text(f"path,signer,sign\n{video},ann,hi\n")
    values = run.parse([["VIDEOS", str(tmp_path / name)]])
    before = run._inputs(values)
    assert run._inputs(values) == before
    video.write_text("changed")
    assert run._inputs(values) != before
    with pytest.raises(InputError, match="found one video"):
        run.parse([["VIDEOS", str(video)]])


@pytest.mark.parametrize(("kept", "at"), [("config.json", "fold0"), ("run.json", "llama/fold0")])
def test_a_training_that_overrides_name_counts_when_it_is_trained_again(tmp_path, kept, at):
    mark = tmp_path / at / "trained.json"
    mark.parent.mkdir(parents=True)
    (tmp_path / kept).touch()
    values = {"OVERRIDES": f"--epochs 3 --distil.teacher 'llama, {tmp_path}'"}
    mark.write_text("one")
    before = run._inputs(values)
    assert run._inputs(values) == before
    mark.write_text("another")
    assert run._inputs(values) != before


def test_the_folder_that_the_environment_names_counts(tmp_path, monkeypatch):
    seen = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text("the same")
        (tmp_path / name / SIGN_MAP).write_text("{}")
        monkeypatch.setenv("ASL_SIGNS_DIR", str(tmp_path / name))
        seen.append(run._inputs({}))
    assert seen[0]["data"] != seen[1]["data"]
    assert run._inputs({"DATA": str(tmp_path / "one")})["data"] == seen[0]["data"]


@pytest.mark.slow
def test_a_dead_kernel_is_told_from_an_error(notebooks, capsys):
    dying = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    write(notebooks / "notebooks", "01_first.ipynb", FIRST, dying)
    assert execute(notebooks, ["01"]) == 138
    assert "the kernel died; most often: out of memory" in capsys.readouterr().out


def test_a_second_run_on_the_same_folder_is_refused(notebooks):
    said = f"process {os.getpid()} .* runs notebooks here"
    with locked(notebooks / "logs", "runs notebooks here"), pytest.raises(InputError, match=said):
        execute(notebooks, ["01"])
    assert ran(notebooks) == ""


def test_the_numbered_notebooks_follow_the_rules():
    folder = Path(run.__file__).parents[1] / "notebooks"
    paths = sorted(folder.glob("*.ipynb"))
    assert [path.name[:2] for path in paths] == ["01", "02", "03", "04", "05", "06"]
    for path in paths:
        notebook = nbformat.read(path, 4)
        assert "RUN_DIR" in run.Notebook(path).defaults
        first = notebook.cells[0]
        assert first.cell_type == "markdown"
        assert all(word in first.source for word in ("**What.**", "**In.**", "**Out.**"))
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            assert not cell.outputs and cell.execution_count is None, path.name
            lines = cell.source.split("\n")
            assert len(lines) <= 20, (path.name, cell.source)
            assert not any(line.startswith(("def ", "class ")) for line in lines)


WRITES = r"(to_csv|to_parquet|to_json|savefig|write_text|write_bytes)\(|(?<![\w.])open\("


def test_the_numbered_notebooks_write_whole_files_or_none():
    """What writes is handed to `write_atomically`, by name or in a lambda; it is never called."""
    for path in run.NOTEBOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            handed = re.sub(r"lambda path: \w+\.\w+\(", "", cell.source)
            assert cell.cell_type != "code" or not re.search(WRITES, handed), (path.name, handed)


@pytest.mark.parametrize("inside", ["", "run", "a/run"])
def test_a_run_inside_its_data_is_refused(notebooks, tmp_path, inside):
    """Its own files would count as changes of the data, and no notebook would ever be finished."""
    data = tmp_path / "clips"
    data.mkdir()
    values = {"DATA": str(data), "RUN_DIR": str(data / inside)}
    with pytest.raises(InputError, match=r"^RUN_DIR: expected a folder outside DATA, .* found"):
        run.execute(["01"], values, False, False)
    assert not any(data.iterdir())
