"""Run the numbered notebooks in order, headlessly.

    python -m src.notebooks -p PROFILE sample                    all of 01 to 04
    python -m src.notebooks 03 04 -p RUN_DIR logs/sample         some of them

- A parameter that no notebook declares is refused before anything runs.
- A notebook is skipped if its cells, its parameters, its inputs and src's Python files are
  unchanged, its executed copy and what it left are there, and no earlier notebook ran.
- The first failure ends the run with one message and the command that continues from there.
- The executed copies, with outputs and pictures, are in the run's folder. Beside each is a log of
  the libraries' own messages.
"""

import argparse
import ast
import difflib
import os
import re
import shlex
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from src.common import kernel
from src.common.errors import InputError, check_choice
from src.common.files import digest, locked, stamp
from src.common.marks import DIGEST, Mark, digest_of
from src.common.news import Terminal, say
from src.common.paths import SIGN_MAP, anchored, competition_folder, root

NOTEBOOKS = root() / "notebooks"
MAIN_PATH = ("01", "02", "03", "04")  # 05 and 06 stand alone
RUN_DIR = "RUN_DIR"
# Parameters that name files or folders to read.
READ = ("DATA", "EXTRA_DATA", "LISTS", "SIGNS", "AUTHORS_WEIGHTS", "VIDEOS")
# Files that a notebook leaves for later ones: if one is gone, the notebook is not finished.
LEAVES = {
    "02": ("*/fold*/[!.]*", "*/everything/[!.]*"),
    "04": ("model.tflite", SIGN_MAP, "submission.zip", "report.*", "model_card.md"),
}
# Other values are refused at once, not only when they are used, perhaps after a training. The
# modules that use them are not imported for this, because TensorFlow alone takes seconds.
CHOICES = {
    "DEVICE": ("auto", "cpu", "cuda"),
    "PRECISION": ("auto", "fp32", "bf16", "fp16"),
    "WEIGHTS": ("fp32", "fp16", "int8"),
    "EXPORTER": ("table", "onnx2tf"),
    "SECOND_ROUTE": ("", "none", "one", "all"),
    "ENSEMBLE": ("", "fitted", "equal", "logits"),
}
TAG = "parameters"
MARKS = ".finished"
QUIET = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}  # no start-up messages
Value = str | int | float | bool


@dataclass(frozen=True)
class Notebook:
    """A numbered notebook."""

    path: Path  # notebooks/NN_name.ipynb

    @property
    def name(self) -> str:
        """The file's name without its ending: NN_name."""
        return self.path.stem

    @cached_property
    def parameters(self) -> dict[str, tuple[Value, str]]:
        """The values in the cell tagged `parameters`, by name, with the comments beside them."""
        cells = nbformat.read(self.path, as_version=4).cells
        (source,) = (cell.source for cell in cells if TAG in cell.metadata.get("tags", ()))
        said = [line.partition("  # ")[2] for line in source.splitlines()]
        nodes = (node for node in ast.parse(source).body if isinstance(node, ast.AnnAssign))
        return {
            node.target.id: (
                ast.literal_eval(node.value),
                "".join(said[node.lineno - 1 : node.end_lineno]),
            )
            for node in nodes
        }

    @property
    def defaults(self) -> dict[str, Value]:
        """The default values, without the comments."""
        return {name: default for name, (default, _) in self.parameters.items()}

    def given(self, values: dict[str, Value]) -> dict[str, Value]:
        """Select the values that this notebook declares."""
        return {name: value for name, value in values.items() if name in self.defaults}


def notebooks() -> dict[str, Notebook]:
    """The notebooks by their numbers, in order."""
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    return {path.name[:2]: Notebook(path) for path in paths}


def parse(given: list[list[str]]) -> dict[str, Value]:
    """Values for the notebooks, of the types that they declare, from pairs of name and text.

    Raises:
        InputError: no notebook declares the name, or the text is not of its type, not one of its
            choices, a negative number, or names a folder or file that is not there.
    """
    declared = {name: v for each in notebooks().values() for name, v in each.defaults.items()}
    for name, _ in given:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise InputError(
                f"{name}: expected a parameter that a notebook declares, found none of that name. "
                f"{meant}There are {', '.join(declared)}"
            )
    values = {name: _typed(name, text, declared[name]) for name, text in given}
    for name, value in values.items():
        _check(name, value)
    return values


def _check(name: str, value: Value) -> None:
    check_choice(name, value, CHOICES.get(name, (value,)))
    if not isinstance(value, str) and value < 0:
        raise InputError(f"{name}: expected a number that is not negative, found {value}")
    if name in READ and (missing := [path for path in _named(value, name) if not path.exists()]):
        raise InputError(f"{name}: expected a folder or file, found none at {missing[0]}")
    if name == RUN_DIR:
        folder = anchored(value).resolve()
        if folder in (NOTEBOOKS.resolve(), root().resolve(), *root().resolve().parents):
            raise InputError(
                f"{name}: expected a folder of the run's own, such as logs/mine, found {value!r}, "
                f"which is {folder}"
            )


def _typed(name: str, text: str, default: Value) -> Value:
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    # To Python a bool is an int, but TESTS=True is a mistake.
    if type(value) is type(default) or (type(default) is float and type(value) is int):
        return type(default)(value)
    raise InputError(f"{name}: expected {type(default).__name__} like {default!r}, found {text!r}")


def execute(numbers: list[str], values: dict[str, Value], force: bool, show: bool) -> int:
    """Run the notebooks of these numbers in order; stop at the first that fails.

    `force` runs finished ones again; `show` also prints what cells write to stderr, which otherwise
    goes to the log only.

    Returns:
        The exit code: 0, 1 for a failed cell, 138 for a dead kernel.

    Raises:
        InputError: a number has no notebook, or a value is read only by a notebook that is not
            chosen and has run with another value.
    """
    found = notebooks()
    if unknown := sorted({*numbers} - {*found}):
        raise InputError(f"expected notebooks among {', '.join(found)}, found {unknown[0]!r}")
    chosen = [notebook for number, notebook in found.items() if number in numbers]
    folder = anchored(values.get(RUN_DIR, chosen[0].defaults[RUN_DIR]))
    _refuse_inside_data(folder, values)
    is_new = not folder.exists()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with locked(folder, "runs notebooks here"):
        _refuse_unread(folder, chosen, values)
        inputs = _inputs(values)
        for i, notebook in enumerate(chosen):
            label = f"[{i + 1}/{len(chosen)}] {notebook.name:<22}"
            mark = _mark(folder, notebook, values, inputs)
            executed = folder / notebook.path.name
            left = [executed, *(folder / name for name in mark.result or ())]
            gone = [f"{path} is gone" for path in left if not path.is_file()]
            if mark.is_finished and not gone and not force:
                say(f"{label} already done (--force runs it again)")
                continue
            changed = ", ".join(mark.changes or (gone[:1] if mark.is_finished else []))
            doing = f"running again because of changes: {changed}" if changed else "running"
            say(f"{label} {doing} ...")
            _unfinish(folder, notebook)
            started = time.monotonic()
            if failure := _execute(notebook, values, folder, show):
                rest = command([later.name[:2] for later in chosen[i:]], values)
                # A refused value must not be suggested again.
                other = f"with another {failure.refused}" if failure.refused else ""
                in_vain = is_new and i == 0 and failure.refused  # the folder is deleted below
                say("\n".join([failure.text, *([] if in_vain else failure.files)]))
                say(f"go on {other or f'from here: {rest}'}")
                break
            mark.write(_left(folder, notebook))
            seconds = time.monotonic() - started
            say(f"{label} {seconds:.1f} s -> {executed}")
        else:
            return 0
    if in_vain:
        shutil.rmtree(folder)  # it holds the failed notebook, and nothing that a run has made
    return failure.code


@dataclass(frozen=True)
class Failure:
    """Why a notebook failed, and what to print about it."""

    code: int  # for the shell
    text: str  # what is printed
    files: tuple[str, ...] = ()  # lines that say where to look further
    refused: str = ""  # the given parameter that the error is about, if any


def _mark(folder: Path, notebook: Notebook, values: dict[str, Value], inputs: dict) -> Mark:
    """The file that marks a notebook as finished, with what its results were made from."""
    own = notebook.name[:2]
    before = [number for number in MAIN_PATH if own in MAIN_PATH and number < own][-1:]
    marks = [path for number in before for path in (folder / MARKS).glob(f"{number}_*.json")]
    made_from = {
        "parameters": notebook.given(values),
        "notebook": DIGEST + digest(notebook.path),
        "results of": {path.stem: DIGEST + digest(path) for path in marks},
        **inputs,
    }
    return Mark(folder / MARKS / f"{notebook.name}.json", made_from)


def _refuse_inside_data(folder: Path, values: dict[str, Value]) -> None:
    """Refuse a run's folder in DATA, where the run's own files would pass for changed data."""
    data, own = anchored(values.get("DATA", "")).resolve(), folder.resolve()
    if values.get("DATA") and data in (own, *own.parents):
        raise InputError(
            f"{RUN_DIR}: expected a folder outside DATA, such as logs/mine, found {folder}"
        )


def _refuse_unread(folder: Path, chosen: list[Notebook], values: dict[str, Value]) -> None:
    """Refuse a value that no chosen notebook reads, if one that reads it has run with another."""
    read = {name for notebook in chosen for name in notebook.defaults}
    for notebook in (each for number, each in notebooks().items() if number in MAIN_PATH):
        then = Mark(folder / MARKS / f"{notebook.name}.json").made_from_then.get("parameters")
        for name, value in notebook.given(values).items():
            used = (then or {}).get(name, notebook.defaults[name])
            if then is not None and name not in read and value != used:
                raise InputError(
                    f"{name}: expected {used!r}, with which {notebook.name} has run here, found "
                    f"{value!r}; run {notebook.name[:2]} again, too, or leave {name} out"
                )


def _left(folder: Path, notebook: Notebook) -> list[str]:
    """The files that a finished notebook has left, relative to its run's folder."""
    paths = [path for pattern in LEAVES.get(notebook.name[:2], ()) for path in folder.glob(pattern)]
    return sorted(str(path.relative_to(folder)) for path in paths)


def _unfinish(folder: Path, notebook: Notebook) -> None:
    """Delete the marks of a notebook and of the later ones that used its old results."""
    # The last goes first, so a kill leaves no mark that has lost an earlier one.
    for mark in sorted((folder / MARKS).glob("*.json"), reverse=True):
        on_main_path = {notebook.name[:2], mark.stem[:2]} <= set(MAIN_PATH)
        if mark.stem == notebook.name or (on_main_path and mark.stem > notebook.name):
            mark.unlink()


def command(numbers: list[str], values: dict[str, Value]) -> str:
    """The command line that runs these notebooks with these parameters."""
    words = [sys.executable, "-m", "src.notebooks", *numbers]
    for name, value in values.items():
        words += ["-p", name, str(value)]
    return shlex.join(words)


def _execute(
    notebook: Notebook, values: dict[str, Value], folder: Path, show: bool
) -> Failure | None:
    """Run one notebook; returns how it failed, if it did."""
    output, log = folder / notebook.path.name, folder / f"{notebook.name}.log"
    log.unlink(missing_ok=True)
    files = (f"executed notebook: {output}", f"the kernel's own words: {log}")
    try:
        with kernel.installed(log) as name, log.open("a") as errors, Terminal() as terminal:
            papermill.execute_notebook(
                _literal(notebook.path),
                _literal(output),
                parameters=notebook.given(values),
                kernel_name=name,
                cwd=str(root()),
                progress_bar=False,
                stdout_file=terminal,
                stderr_file=terminal if show else errors,
                autosave_cell_every=30,
            )
    except PapermillExecutionError as error:
        name = error.ename.rpartition(".")[-1]
        cause = error.evalue if name == InputError.__name__ else f"{name}: {error.evalue}"
        said = f"FAILED  {notebook.name}, cell In [{error.exec_count}]: {cause}"
        return Failure(1, said, files, next((n for n in values if cause.startswith(f"{n}:")), ""))
    except DeadKernelError:
        said = f"FAILED  {notebook.name}: the kernel died; most often: out of memory"
        return Failure(138, said, files)
    except OSError as error:
        return Failure(1, f"FAILED  {notebook.name}: it could not be run into {output}: {error}")
    return None


def _literal(path: Path) -> str:
    """Escape a path for papermill, which replaces {names} in paths by parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _inputs(values: dict[str, Value]) -> dict[str, dict[str, str]]:
    """Digests of what the notebooks read besides their parameters: src, and the data."""
    src = root() / "src"
    code = {str(path.relative_to(src)): DIGEST + digest(path) for path in src.rglob("*.py")}
    named = [path for name in READ for path in _named(values.get(name, ""), name)]
    # Teachers are inputs, too: a run, or a recipe in a run, that OVERRIDES names by its path.
    for word in re.split(r"[\s,='\"]+", str(values.get("OVERRIDES", ""))):
        folder = anchored(word)
        if "/" in word and any((folder / name).is_file() for name in ("run.json", "config.json")):
            named += sorted(folder.rglob("trained.json"))
    if not values.get("DATA"):
        with suppress(InputError):  # none is needed: a profile may draw its own
            named.append(competition_folder())
    return {"src": code, "data": {str(path): digest_of(_listing(path)) for path in named}}


def _named(value: Value, parameter: str) -> list[Path]:
    """The folders or files that a parameter names; for VIDEOS also those in lists, behind links."""
    names = str(value).split(",") if parameter == "EXTRA_DATA" else [str(value)]
    paths = [anchored(name.strip()) for name in names if name.strip()]
    if parameter == "VIDEOS" and paths and paths[0].exists():
        from src.video.videos import find  # imports torch, which takes seconds

        paths += [video.path for video in find(paths[0])]
    return paths


def _listing(path: Path) -> list[tuple[str, int, int]]:
    """The name, size and time of each file in a folder, or of one; 94,477 clips take a second."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(file.relative_to(path)), *stamp(file)) for file in files if file.is_file()]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m src.notebooks",
        description=__doc__.split("\n")[0],
        epilog=f"parameters of the notebooks, and their defaults:\n{_described()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "numbers", nargs="*", default=[*MAIN_PATH], help="such as 01 02; default: 01 to 04"
    )
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter"
    )
    parser.add_argument("--force", action="store_true", help="run finished notebooks again")
    parser.add_argument("--show", action="store_true", help="print the libraries' messages, too")
    arguments = parser.parse_args(_spaced(sys.argv[1:]))
    given = [[name, value.removeprefix(" ")] for name, value in arguments.p]
    try:
        return execute(arguments.numbers, parse(given), arguments.force, arguments.show)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = command(arguments.numbers, dict(given))
        print(f"\ninterrupted; go on from here: {again}", file=sys.stderr)
        return 130


def _spaced(words: list[str]) -> list[str]:
    """Put a space before each parameter's value, or argparse takes --epochs=30 for its own flag."""
    return [f" {word}" if k > 1 and words[k - 2] == "-p" else word for k, word in enumerate(words)]


def _described() -> str:
    """Every parameter with its default and meaning, from the notebooks' cells."""
    lines: dict[str, str] = {}
    for notebook in notebooks().values():
        for name, (default, meaning) in notebook.parameters.items():
            shown = f"  {name} = {default!r}"
            lines.setdefault(name, f"{shown:<34} {meaning}")
    return "\n".join(lines.values())


if __name__ == "__main__":
    sys.exit(main())
