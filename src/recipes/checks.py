"""Refuse recipes whose parts do not fit each other, before a run is made of them.

Every published recipe passes. Flags and new recipes can combine values and code that do not fit.
Without these checks that would be noticed in the middle of a training, or not at all.
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

_CLASSES = 2  # signs of the networks that are built for the check
# Which numbers are allowed, by the last word of a flag; those of other flags must be 0 or more.
_ABOVE_ZERO = {"epochs", "batch_size", "lr", "temperature", "alpha", "span", "cycle"}
_ABOVE_ZERO |= {"drop_per", "lookahead_steps", "max_len", "distance", "reach"}
_OF_NETWORK = re.compile(r".*\.(model|distilled)\..*")  # whole numbers here are sizes: above 0
_SHARE = re.compile(  # 0 to 1 if it is a float; an integer, as `loss.drop`, is a count
    r"(\w+_)?p|\w*drop(out)?s?|smoothing|\w*share|keep|least|lose|swap|jump|until|ramp|"
    "(layer_)?decay|floor|betas|warmup|flat|first|start|end|late_from|stochastic_depth|amount"
)
_SIGNED = ("centre", "mirror_x")  # positions in the picture; may be negative
_AT_MOST = {"low": "high", "drop": "drop_per", "soup_epochs": "epochs"}  # field: its limit
_FOR_ONE = re.compile(r"(?:^|\s)(\w+):(?=\s|$)")  # "llama:"; but "mix:none" is a flag
_LONGEST = 200  # characters of an inner error


def overridden(recipes: Sequence[Recipe], flags: str) -> list[Recipe]:
    """Apply flags to the recipes of a run, see `config.override`, and check the results.

    Flags after the name of a recipe or solution and a colon are for this one alone, as in
    "--epochs 30 llama: --epochs 90".

    Raises:
        InputError: a flag is wrong, no recipe has such a name, or a changed recipe cannot be
            trained, tested or shipped.
    """
    changed = [config.override(recipe, _own(flags, recipe.name, recipes)) for recipe in recipes]
    for before, recipe in zip(recipes, changed, strict=True):
        _check_numbers(before, recipe)
        _check(recipe)
        _check_declared(recipe)
        _try(recipe)
    _check_together(changed)
    return changed


def _own(flags: str, name: str, recipes: Sequence[Recipe]) -> str:
    """The flags for the recipe of this name: those for all, then its solution's, then its own."""
    for_all, *rest = _FOR_ONE.split(flags)
    named = [*zip(rest[::2], rest[1::2], strict=True)]
    there = list(dict.fromkeys(n for r in recipes for n in (solution_of(r.name), r.name)))
    if unknown := [whose for whose, _ in named if whose not in there]:
        raise InputError(
            f"OVERRIDES: expected flags for some of {', '.join(there)}, found {unknown[0]!r} "
            "before a colon; add it to RECIPES, or take it out"
        )
    order = dict.fromkeys((solution_of(name), name))
    own = [text for whose in order for who, text in named if who == whose]
    return " ".join([for_all, *own])


def _check_numbers(before: Recipe, recipe: Recipe) -> None:
    """Refuse numbers out of range, if flags have set them."""
    numbers = [*_numbers(recipe.name, recipe)]
    by_flag = dict(numbers)
    for flag, found in sorted({*numbers} - {*_numbers(before.name, before)}):
        part, _, name = flag.rpartition(".")
        in_epochs = name == "warmup" and f"{part}.cycle" in by_flag
        fits, expected = found >= 0 or name in _SIGNED, "0 or more"
        if name in _ABOVE_ZERO or (type(found) is int and _OF_NETWORK.fullmatch(flag)):
            fits, expected = found > 0, "more than 0"
        elif isinstance(found, float) and _SHARE.fullmatch(name) and not in_epochs:
            fits, expected = 0 <= found <= 1, "a number from 0 to 1"
        if not fits:
            raise InputError(f"OVERRIDES: {flag}: expected {expected}, found {found}")
    for flag, found in numbers:
        part, _, name = flag.rpartition(".")
        most = by_flag.get(f"{part}.{_AT_MOST.get(name)}")
        if most is None or (name == "soup_epochs" and found == before.soup_epochs):
            continue  # flags made the training shorter; its soup is of all epochs
        if not found <= most or (name == "drop" and found == most):
            expected = f"{'less than' if name == 'drop' else 'at most'} {_AT_MOST[name]} ({most})"
            raise InputError(f"OVERRIDES: {flag}: expected {expected}, found {found}")


def _check(recipe: Recipe) -> None:
    """Refuse to ship a role that is not trained, and to ask for a soup that is never made."""
    solution_of(recipe.name)
    if recipe.shipped not in recipe.roles:
        raise InputError(
            f"OVERRIDES: {recipe.name}.shipped: expected one of the networks that it trains, "
            f"{', '.join(recipe.roles)}, found {recipe.shipped!r}; add --shipped {recipe.roles[0]}"
        )
    if recipe.soup_epochs and recipe.stop:
        raise InputError(
            f"OVERRIDES: {recipe.name}.soup_epochs: expected 0 beside stop, because a training "
            f"that stops early has no soup of its last epochs, found {recipe.soup_epochs}; add "
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
    """Refuse attributes that nothing uses: without a type or @dataclass they are no fields."""
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
    """Pass a long clip through a recipe, and refuse the recipe if a part does not fit the next."""
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
        features = recipe.features(clips.xyz, None, layout)  # without a mask, as when exported
        if not features.isfinite().all():
            raise ValueError("expected a number where a point is missing (NaN), found NaN or inf")
        for part in ("model", *["distilled"] * bool(recipe.distilled)):
            with torch.no_grad():
                out = getattr(recipe, part).build(layout, _CLASSES).eval()(features, None)
            if not isinstance(out, dict) or "logits" not in out:
                found = [*out] if isinstance(out, dict) else type(out).__name__
                raise ValueError(f'expected {{"logits": (B, K)}} from the network, found {found}')
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
    """Refuse a run that ships nothing, or trains the same recipe twice."""
    names = [recipe.name for recipe in recipes]
    if len({*names}) < len(names):
        raise InputError(f"OVERRIDES: expected different names, found {', '.join(names)}")
    if not any(recipe.ships for recipe in recipes):
        solutions = ",".join(dict.fromkeys(map(solution_of, names)))
        raise InputError(
            f"RECIPES: expected a network that goes into the file, found only {', '.join(names)}, "
            f"which do not; name the solution, {solutions}, or leave --no-ships out"
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
    """Refuse a recipe that comes before its teacher or start, or is its own."""
    sources = [("distil.teacher", name) for name in recipe.distil.teachers]
    for field, name in (*sources, ("start", recipe.start)):
        if name in not_before:
            found = "itself" if name == recipe.name else "one that comes later"
            raise InputError(
                f"{recipe.name}: {field} {name}: expected a recipe that is trained before, found "
                f"{found}; train it in a run of its own and name that, logs/<run>/<recipe>, or "
                f"leave {recipe.name} out of RECIPES"
            )
