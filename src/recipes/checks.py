"""Refuses recipes that OVERRIDES has broken, before a run is made of them.

Every published recipe passes. Flags can bring values together that do not fit each other, which
would otherwise be found after hours of training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import combinations

import torch

from src.common.errors import InputError
from src.recipes import config, solution_of
from src.recipes.base import Recipe

_CLASSES = 2  # signs of a network that is only tried
# What numbers may be, by the last word of their flag; a number that is not named here may be 0.
_ABOVE_ZERO = {"epochs", "batch_size", "lr", "temperature", "alpha", "span", "cycle"}
_ABOVE_ZERO |= {"drop_per", "lookahead_steps"}
_SHARE = re.compile(  # if it has a decimal point: `loss.drop` counts clips
    r"(\w+_)?p|\w*drop(out)?s?|smoothing|\w*share|keep|least|lose|swap|jump|until|ramp|"
    "decay|floor|betas"
)
_SIGNED = ("centre", "mirror_x")  # places in the picture
_LONGEST = 200  # characters of an inner error


def overridden(recipes: Sequence[Recipe], flags: str) -> list[Recipe]:
    """The recipes of a run, each with the values that flags change, see `config.override`.

    Raises:
        InputError: a flag is wrong, or what comes of it cannot be trained, tested or shipped.
    """
    changed = [config.override(recipe, flags) for recipe in recipes]
    if flags.strip():
        for recipe in changed:
            _check(recipe)
            _try(recipe)
    _check_together(changed)
    return changed


def _check(recipe: Recipe) -> None:
    """Refuse numbers that no training has, a role that is not trained, a soup that is not made."""
    solution_of(recipe.name)
    for flag, found in _numbers(recipe.name, recipe):
        name = flag.rpartition(".")[2]
        fits, expected = found >= 0 or name in _SIGNED, "0 or more"
        if name in _ABOVE_ZERO:
            fits, expected = found > 0, "more than 0"
        elif isinstance(found, float) and _SHARE.fullmatch(name):
            fits, expected = 0 <= found <= 1, "a number from 0 to 1"
        if not fits:
            raise InputError(f"OVERRIDES: {flag}: expected {expected}, found {found}")
    if recipe.shipped not in recipe.roles:
        raise InputError(
            f"OVERRIDES: {recipe.name}.shipped: expected one of the networks that it trains, "
            f"{', '.join(recipe.roles)}, found {recipe.shipped!r}; add --shipped {recipe.roles[0]}"
        )
    if recipe.soup_epochs and recipe.stop:
        raise InputError(
            f"OVERRIDES: {recipe.name}.soup_epochs: expected 0 beside stop, for a training that "
            f"stops early has no soup of its last epochs, found {recipe.soup_epochs}; add "
            "--soup-epochs 0 --shipped best"
        )


def _numbers(flag: str, value: object) -> Iterator[tuple[str, float]]:
    """Every number in a value with its flag, such as conv_transformer.augment.flip.p."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _numbers(f"{flag}.{field.name}", getattr(value, field.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from _numbers(flag, each)
    elif isinstance(value, int | float):
        yield flag, value


def _try(recipe: Recipe) -> None:
    """Show a long clip to the networks: sizes that do not fit each other end here."""
    try:
        rows = torch.zeros(2 * recipe.max_len, len(recipe.layout), 3) + 0.5
        clip = recipe.clip(rows, recipe.layout)
        mask = torch.ones(1, len(clip), dtype=torch.bool)
        features = recipe.features(clip[None], mask, recipe.layout)
        for sizes in filter(None, (recipe.model, recipe.distilled)):
            with torch.no_grad():
                sizes.build(recipe.layout, _CLASSES).eval()(features, mask)
    except Exception as error:  # a size that does not fit can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        raise InputError(
            f"OVERRIDES: {recipe.name}: expected clip steps, features and network of sizes that "
            f"fit each other, found that a clip does not go through them ({reason}); change the "
            "others, too, such as --model.max-len where clips get longer"
        ) from error


def _check_together(recipes: Sequence[Recipe]) -> None:
    """Refuse a run that ships nothing, or trains one thing twice."""
    names = [recipe.name for recipe in recipes]
    if len({*names}) < len(names):
        raise InputError(f"OVERRIDES: expected different names, found {', '.join(names)}")
    if not any(recipe.ships for recipe in recipes):
        raise InputError(
            "OVERRIDES: expected a network that goes into the file, found that none ships; leave "
            "--no-ships out"
        )
    for one, other in combinations(recipes, 2):
        if replace(one, name=other.name) == other:
            raise InputError(
                f"OVERRIDES: expected {one.name} and {other.name} to differ by their seeds, found "
                "the same training twice; choose the run's SEED instead"
            )
    for number, recipe in enumerate(recipes):
        _check_order(recipe, names[number:])


def _check_order(recipe: Recipe, not_before: Sequence[str]) -> None:
    """Refuse a pupil before its teacher, and a recipe that would be its own."""
    sources = [("distil.teacher", name) for name in recipe.distil.teachers]
    for field, name in (*sources, ("start", recipe.start)):
        if name in not_before:
            found = "itself" if name == recipe.name else "one that comes later"
            raise InputError(
                f"{recipe.name}: {field} {name}: expected a recipe that is trained before, found "
                f"{found}; train it in a run of its own and name that, logs/<run>/<recipe>, or "
                f"leave {recipe.name} out of RECIPES"
            )
