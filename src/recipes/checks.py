"""Refuses recipes whose parts do not fit each other, before a run is made of them.

Every published recipe passes. Flags and new recipes can bring values and code together that do not
fit, which would otherwise be found in the middle of a training, or not at all.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import combinations

import torch

from src.clips import Clips
from src.common.errors import InputError, raised_at
from src.recipes import config, solution_of
from src.recipes.base import Recipe
from src.transforms.pipeline import Draw

_CLASSES = 2  # signs of a network that is only tried
# What numbers may be, by the last word of their flag; a number that is not named here may be 0.
_ABOVE_ZERO = {"epochs", "batch_size", "lr", "temperature", "alpha", "span", "cycle"}
_ABOVE_ZERO |= {"drop_per", "lookahead_steps", "max_len"}
_OF_NETWORK = re.compile(r".*\.(model|distilled)\..*")  # whole numbers are sizes, above 0, too
_SHARE = re.compile(  # if it has a decimal point: `loss.drop` counts clips
    r"(\w+_)?p|\w*drop(out)?s?|smoothing|\w*share|keep|least|lose|swap|jump|until|ramp|"
    "decay|floor|betas"
)
_SIGNED = ("centre", "mirror_x")  # places in the picture
_AT_MOST = {"low": "high", "drop": "drop_per", "soup_epochs": "epochs"}  # fields side by side
_LONGEST = 200  # characters of an inner error


def overridden(recipes: Sequence[Recipe], flags: str) -> list[Recipe]:
    """The recipes of a run, each with the values that flags change, see `config.override`.

    Raises:
        InputError: a flag is wrong, or what comes of it cannot be trained, tested or shipped.
    """
    changed = [config.override(recipe, flags) for recipe in recipes]
    for before, recipe in zip(recipes, changed, strict=True):
        _check_numbers(before, recipe)
        _check(recipe)
        _check_declared(recipe)
        _try(recipe)
    _check_together(changed)
    return changed


def _check_numbers(before: Recipe, recipe: Recipe) -> None:
    """Refuse numbers that flags have set and that no training has."""
    numbers = [*_numbers(recipe.name, recipe)]
    for flag, found in sorted({*numbers} - {*_numbers(before.name, before)}):
        name = flag.rpartition(".")[2]
        fits, expected = found >= 0 or name in _SIGNED, "0 or more"
        if name in _ABOVE_ZERO or (type(found) is int and _OF_NETWORK.fullmatch(flag)):
            fits, expected = found > 0, "more than 0"
        elif isinstance(found, float) and _SHARE.fullmatch(name):
            fits, expected = 0 <= found <= 1, "a number from 0 to 1"
        if not fits:
            raise InputError(f"OVERRIDES: {flag}: expected {expected}, found {found}")
    by_flag = dict(numbers)
    for flag, found in numbers:
        part, _, name = flag.rpartition(".")
        most = by_flag.get(f"{part}.{_AT_MOST.get(name)}")
        if most is None or (name == "soup_epochs" and found == before.soup_epochs):
            continue  # a training that flags make shorter has its soup of all epochs
        if not found <= most or (name == "drop" and found == most):
            expected = f"{'less than' if name == 'drop' else 'at most'} {_AT_MOST[name]} ({most})"
            raise InputError(f"OVERRIDES: {flag}: expected {expected}, found {found}")


def _check(recipe: Recipe) -> None:
    """Refuse a role that is not trained, and a soup that is not made."""
    solution_of(recipe.name)
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


def _check_declared(recipe: Recipe) -> None:
    """Refuse values that are no fields, for want of a type or of @dataclass: nothing uses them."""
    for part in (recipe, *(value for value in vars(recipe).values() if is_dataclass(value))):
        kind, defaults = type(part), {field.name: field.default for field in fields(part)}
        for name, value in vars(kind).items():
            is_value = not name.startswith("_") and not hasattr(value, "__get__")  # no method
            if is_value and defaults.get(name, ...) is not value:
                raise InputError(
                    f"{recipe.name}: {kind.__module__}.{kind.__name__}.{name}: expected a field of "
                    "a dataclass, found a plain attribute, which is ignored; write "
                    f"{name}: {type(value).__name__} = ..., and @dataclass over the class"
                )


def _try(recipe: Recipe) -> None:
    """Lead a long clip through a recipe: what does not fit the next part ends here."""
    layout, part = recipe.layout, "clip"
    rows = torch.zeros(2 * recipe.max_len + 1, len(layout), 3) + 0.5
    rows[:, 0] = torch.nan
    try:
        clip = recipe.clip(rows, layout)
        _expect(clip, (len(clip) or 1, *rows.shape[1:]))
        part = "augment"
        clips = Clips(clip[None], torch.ones(1, len(clip), dtype=torch.bool), torch.tensor([0]))
        draw = Draw(torch.Generator(), random.Random(0), donor=clips)
        new = recipe.augment(clips, layout, draw)
        _expect(new.xyz, (*new.mask.shape, *rows.shape[1:]))
        if new.mask.dtype != torch.bool or not new.mask.any():
            raise ValueError("mask: expected True where a frame is real, found no frame or no bool")
        part = "features"
        features = recipe.features(clips.xyz, None, layout)  # without a mask, as in the file
        if not features.isfinite().all():
            raise ValueError("expected a number where a point is missing (NaN), found none")
        for part in ("model", *["distilled"] * bool(recipe.distilled)):
            with torch.no_grad():
                out = getattr(recipe, part).build(layout, _CLASSES).eval()(features, None)
            if not isinstance(out, dict) or "logits" not in out:
                found = [*out] if isinstance(out, dict) else type(out).__name__
                raise ValueError(f'expected {{"logits": (B, K)}} of the network, found {found}')
            _expect(out["logits"], (1, _CLASSES))
    except Exception as error:  # a size that does not fit can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        raise InputError(
            f"{recipe.name}.{part}: expected a clip to go through clip steps, augmentations, "
            f"features and networks, found {reason}{raised_at(error, but=__file__)}; mend "
            f"{type(recipe).__module__} or what it uses, or change OVERRIDES (longer clips may "
            "need --model.max-len, too)"
        ) from error


def _expect(found: torch.Tensor, shape: tuple[int, ...]) -> None:
    if (*found.shape, found.dtype) != (*shape, torch.float32):
        raise ValueError(f"expected {shape} torch.float32, found {(*found.shape,)} {found.dtype}")


def _check_together(recipes: Sequence[Recipe]) -> None:
    """Refuse a run that ships nothing, or trains one thing twice."""
    names = [recipe.name for recipe in recipes]
    if len({*names}) < len(names):
        raise InputError(f"OVERRIDES: expected different names, found {', '.join(names)}")
    if not any(recipe.ships for recipe in recipes):
        solutions = ",".join(dict.fromkeys(map(solution_of, names)))
        raise InputError(
            f"RECIPES: expected a network that goes into the file, found only {', '.join(names)}, "
            f"which are not to; name the solution, {solutions}, or leave --no-ships out"
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
