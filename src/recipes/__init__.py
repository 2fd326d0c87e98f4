"""The published solutions, one file each, and how RECIPES chooses among them."""

import re
from collections.abc import Sequence
from dataclasses import replace

from src.common.errors import InputError
from src.recipes import conv_transformer, frame_deberta, hand_bert, hierarchical, llama, pupil
from src.recipes.base import Recipe, Solution
from src.recipes.profiles import PROFILES

SOLUTIONS: dict[str, Solution] = {
    "frame_deberta": frame_deberta.SOLUTION,
    "frame_deberta_code": frame_deberta.CODE_SOLUTION,
    "hand_bert": hand_bert.SOLUTION,
    "hand_deberta": hand_bert.DEBERTA_SOLUTION,
    "conv_transformer": conv_transformer.SOLUTION,
    "llama": llama.SOLUTION,
    "llama_ensemble": llama.ENSEMBLE_SOLUTION,
    "hierarchical": hierarchical.SOLUTION,
    "pupil": pupil.SOLUTION,  # last: its teachers are recipes of those above
}
_COPY = re.compile(r"_seed\d+$")  # ends the name of a recipe's copy
_SEEDS_APART = 100  # between a recipe and its copy; no solution has so many recipes


def choose(names: str, profile: str) -> tuple[Recipe, ...]:
    """The recipes that RECIPES names.

    Args:
        names: solutions or single recipes, separated by commas; empty: the profile's choice.
            `llama:3` is trained three times, with other seeds, and all three are shipped.
        profile: full, cpu or sample; the size of the recipes.

    Raises:
        InputError: there is no such solution or recipe.
    """
    single = {
        r.name: r
        for solution in reversed(SOLUTIONS.values())  # the first that has a recipe counts
        for r in solution.recipes(profile)
    }
    chosen: dict[str, Recipe] = {}
    names = names or PROFILES[profile].recipes
    for asked in (name.strip() for name in names.split(",") if name.strip()):
        name, times = _times(asked)
        if name in SOLUTIONS:
            named = SOLUTIONS[name].recipes(profile)
        elif name in single:
            named = (single[name],)
        else:
            raise InputError(
                f"RECIPES: no solution or recipe {name!r}; there are {', '.join(SOLUTIONS)}, and "
                f"their recipes {', '.join(single)}"
            )
        for recipe in (copy for number in range(times) for copy in _copies(named, number)):
            # A recipe that one solution ships and another only learns from is shipped.
            if recipe.ships or recipe.name not in chosen:
                chosen[recipe.name] = recipe
    if not chosen:
        raise InputError("RECIPES: expected at least one solution, found none")
    return tuple(chosen.values())


def _times(asked: str) -> tuple[str, int]:
    """A name, and how often to train it: `llama` once, `llama:3` three times."""
    name, colon, times = asked.partition(":")
    if colon and not re.fullmatch(r"[1-9]\d?", times):
        raise InputError(
            f"RECIPES: {asked}: expected a number of seeds from 1 to 99 after the colon, as in "
            f"{name}:3, found {times!r}"
        )
    return name, int(times or 1)


def _copies(recipes: Sequence[Recipe], number: int) -> tuple[Recipe, ...]:
    """Copies of recipes with other seeds and names; number 0 is the recipes themselves.

    Where a teacher or a start is one of these recipes, the copy uses the copy of it.
    """
    if not number:
        return tuple(recipes)
    new = {recipe.name: f"{recipe.name}_seed{number}" for recipe in recipes}
    return tuple(
        replace(
            recipe,
            name=new[recipe.name],
            seed=recipe.seed + number * _SEEDS_APART,
            start=new.get(recipe.start, recipe.start),
            distil=replace(
                recipe.distil, teacher=",".join(new.get(t, t) for t in recipe.distil.teachers)
            ),
        )
        for recipe in recipes
    )


def landmark_union() -> tuple[int, ...]:
    """Every landmark that any recipe reads; a store keeps these."""
    recipes = (recipe for solution in SOLUTIONS.values() for recipe in solution.all_recipes)
    return tuple(sorted({landmark for recipe in recipes for landmark in recipe.layout.sources}))


def solution_of(name: str) -> str:
    """The solution that a recipe, or a copy of it with another seed, belongs to.

    Raises:
        InputError: no solution has a recipe of that name.
    """
    original = _COPY.sub("", name)
    for of, solution in SOLUTIONS.items():
        if any(recipe.name == original for recipe in solution.all_recipes):
            return of
    raise InputError(f"no solution has a recipe {name!r}; there are {', '.join(SOLUTIONS)}")
