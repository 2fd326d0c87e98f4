"""The published solutions, a file each, and the choice among them."""

from __future__ import annotations

from src.errors import InputError
from src.recipes import conv_transformer, frame_deberta, hand_bert, hierarchical, llama
from src.recipes.base import Recipe

# solution -> profile -> members, in the order they are trained and blended
SOLUTIONS: dict[str, dict[str, tuple[Recipe, ...]]] = {
    "frame_deberta": frame_deberta.MEMBERS,
    "hand_bert": hand_bert.MEMBERS,
    "hand_deberta": hand_bert.DEBERTA_MEMBERS,
    "conv_transformer": conv_transformer.MEMBERS,
    "llama": llama.MEMBERS,
    "llama_ensemble": llama.ENSEMBLE,
    "hierarchical": hierarchical.MEMBERS,
}


def choose(names: str, profile: str) -> tuple[Recipe, ...]:
    """The recipes that RECIPES names.

    Args:
        names: solutions or single members, separated by commas.
        profile: which sizes of them.

    Raises:
        InputError: there is no such solution or member.
    """
    members = {r.name: r for sizes in SOLUTIONS.values() for r in sizes[profile]}
    chosen: dict[str, Recipe] = {}
    for name in (name.strip() for name in names.split(",") if name.strip()):
        if name in SOLUTIONS:
            chosen |= {recipe.name: recipe for recipe in SOLUTIONS[name][profile]}
        elif name in members:
            chosen[name] = members[name]
        else:
            raise InputError(
                f"RECIPES: no solution or member {name!r}; there are {', '.join(SOLUTIONS)}, and "
                f"their members {', '.join(members)}"
            )
    if not chosen:
        raise InputError("RECIPES: expected at least one solution, found none")
    return tuple(chosen.values())


def landmark_union() -> tuple[int, ...]:
    """Every landmark that any recipe reads: what a store keeps."""
    recipes = (r for sizes in SOLUTIONS.values() for members in sizes.values() for r in members)
    return tuple(sorted({landmark for r in recipes for landmark in r.layout.sources}))


def solution_of(member: str) -> str:
    """The solution that a member belongs to.

    Raises:
        InputError: none has a member of that name.
    """
    for name, sizes in SOLUTIONS.items():
        if any(recipe.name == member for members in sizes.values() for recipe in members):
            return name
    raise InputError(f"no solution has a member {member!r}; there are {', '.join(SOLUTIONS)}")
