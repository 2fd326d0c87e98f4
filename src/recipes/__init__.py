"""The published solutions, a file each, and the choice among them."""

from __future__ import annotations

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
    "pupil": pupil.SOLUTION,  # last: its teachers are recipes of the others
}


def choose(names: str, profile: str) -> tuple[Recipe, ...]:
    """The recipes that RECIPES names.

    Args:
        names: solutions or single recipes, separated by commas; empty: those of the profile.
        profile: which sizes of them.

    Raises:
        InputError: there is no such solution or recipe, or all that are named only teach others.
    """
    single = {
        r.name: r
        for solution in reversed(SOLUTIONS.values())  # a recipe as its own solution has it
        for r in solution.recipes(profile)
    }
    chosen: dict[str, Recipe] = {}
    names = names or PROFILES[profile].recipes
    for name in (name.strip() for name in names.split(",") if name.strip()):
        if name in SOLUTIONS:
            for recipe in SOLUTIONS[name].recipes(profile):
                # What one solution ships and another only learns from is shipped.
                if recipe.ships or recipe.name not in chosen:
                    chosen[recipe.name] = recipe
        elif name in single:
            chosen[name] = single[name]
        else:
            raise InputError(
                f"RECIPES: no solution or recipe {name!r}; there are {', '.join(SOLUTIONS)}, and "
                f"their recipes {', '.join(single)}"
            )
    if not chosen:
        raise InputError("RECIPES: expected at least one solution, found none")
    if not any(recipe.ships for recipe in chosen.values()):
        whole = ",".join(dict.fromkeys(map(solution_of, chosen)))
        raise InputError(
            f"RECIPES: expected a network that goes into the file, found only {', '.join(chosen)}, "
            f"which teach others; name the solution, {whole}"
        )
    return tuple(chosen.values())


def landmark_union() -> tuple[int, ...]:
    """Every landmark that any recipe reads: what a store keeps."""
    recipes = (recipe for solution in SOLUTIONS.values() for recipe in solution.all_recipes)
    return tuple(sorted({landmark for recipe in recipes for landmark in recipe.layout.sources}))


def solution_of(name: str) -> str:
    """The solution that a recipe belongs to.

    Raises:
        InputError: no solution has a recipe of that name.
    """
    for of, solution in SOLUTIONS.items():
        if any(recipe.name == name for recipe in solution.all_recipes):
            return of
    raise InputError(f"no solution has a recipe {name!r}; there are {', '.join(SOLUTIONS)}")
