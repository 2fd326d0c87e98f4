"""Recipes as JSON and as flags.

A run keeps its recipe in config.json, with every value written out, so that it can be rebuilt after
the defaults have changed. `override` changes single values by typed flags, such as
`--epochs 30 --augment.rotate.degrees 30`, and gives a field another kind of value by its name
without dashes, such as `schedule:one-cycle` or `ema:none`.
"""

import contextlib
import io
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import cattrs
import tyro

from src.common.errors import InputError
from src.common.files import write_json
from src.landmarks import Point
from src.recipes import SOLUTIONS
from src.recipes.base import Recipe

_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(
    Point, lambda value, _: value if isinstance(value, int) else tuple(value)
)


def to_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain values."""
    return {"type": type(recipe).__name__, "values": _CONVERTER.unstructure(recipe)}


def from_json(value: Any, where: str) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        InputError: the value is no recipe, or a version with other fields has written it.
    """
    try:
        # Until November 2026 `ships` was called `member`.
        values = {"ships" if k == "member" else k: v for k, v in value["values"].items()}
        return _CONVERTER.structure(values, _kinds()[value["type"]])
    except Exception as error:  # cattrs raises a group of errors, one for each wrong field
        reasons = "; ".join(cattrs.transform_error(error, path="recipe"))
        raise InputError(
            f"{where}: expected a recipe as this version writes it, found: {reasons}; train again, "
            "or use the version that wrote it"
        ) from error


def _kinds() -> dict[str, type[Recipe]]:
    """The recipe classes of all solutions, by name.

    Raises:
        InputError: two classes have the same name.
    """
    recipes = (recipe for solution in SOLUTIONS.values() for recipe in solution.all_recipes)
    kinds: dict[str, type[Recipe]] = {}
    for kind in map(type, recipes):
        if (other := kinds.setdefault(kind.__name__, kind)) is not kind:
            raise InputError(
                f"{kind.__module__}: expected a recipe class with a name of its own, found "
                f"{kind.__name__}, which {other.__module__} has too; rename it"
            )
    return kinds


def save(recipe: Recipe, path: Path) -> None:
    """Write config.json.

    Raises:
        InputError: the file could not be read back: no solution has recipes of this class, or a
            field holds another kind of value than its class declares, or may hold several.
    """
    value, kind = to_json(recipe), type(recipe).__name__
    if kind not in _kinds():
        raise InputError(
            f"{path}: expected a recipe of one of the SOLUTIONS in src/recipes/__init__.py, found "
            f"a {kind}, which is in none; add its solution there"
        )
    try:
        read = from_json(value, str(path))
    except InputError as error:
        raise InputError(
            f"{path}: expected each field to declare one kind, as in `schedule: Cosine`, so that "
            f"{kind} can be read back; found: {error}"
        ) from error
    others = [f.name for f in fields(recipe) if getattr(read, f.name) != getattr(recipe, f.name)]
    if others:
        raise InputError(
            f"{path}: expected values of the kinds that {kind} declares, found another kind in "
            f"{', '.join(others)}; declare it in the recipe's class"
        )
    write_json(path, value)


def load(path: Path) -> Recipe:
    """Read config.json.

    Raises:
        InputError: the file is missing or holds no recipe.
    """
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected a recipe in JSON, found {error}; run 01_preparation with --force"
        ) from error
    return from_json(value, str(path))


def override(recipe: Recipe, flags: str) -> Recipe:
    """Change values by flags.

    Args:
        recipe: the defaults.
        flags: such as "--epochs 30 --model.dim 128". Where a field may hold several kinds, or
            nothing, "<field>:<kind>" chooses one, such as "mix:none" or
            "schedule:warm-restarts --schedule.first 0.2".

    Raises:
        InputError: a flag is unknown, or its value of the wrong type; the message names it.
    """
    if not flags.strip():
        return recipe
    said = io.StringIO()
    try:
        words = shlex.split(flags)
    except ValueError as error:  # an unclosed quotation mark
        raise _refusal(recipe, flags, str(error)) from error
    # tyro takes kinds for subcommands, and lists them all in its answer to a mistyped flag. So they
    # are hidden from it unless the flags ask for one.
    kinds = any(re.fullmatch(r"[a-z][\w.-]*:[\w-]+", word) for word in words)
    marker = tyro.conf.CascadeSubcommandArgs if kinds else tyro.conf.AvoidSubcommands
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            kind = marker[type(recipe)]
            return tyro.cli(kind, prog="OVERRIDES", default=recipe, args=words)
    except SystemExit as error:
        raise _refusal(recipe, flags, _reason(said.getvalue())) from error


def _reason(said: str) -> str:
    """tyro's error message in one line, without its frame, title and pointer to help."""
    _, *lines = (bare for line in said.splitlines() if (bare := line.strip(" │╭╰─╮╯")))
    paragraphs = " ".join("\n" if not line.strip("-") else line for line in lines).split("\n")
    told = (text.strip(" .") for text in paragraphs)
    return ". ".join(text for text in told if text and not text.startswith("For full help"))[:300]


def _refusal(recipe: Recipe, flags: str, reason: str) -> InputError:
    return InputError(
        f"OVERRIDES: {flags!r} for {recipe.name}: {reason}. The flags are --<field> and "
        f"--<field>.<field>; the fields are {', '.join(field.name for field in fields(recipe))}; "
        "<field>:<kind> without dashes gives a field another kind of value"
    )
