"""How large the file will be, as far as it can be told before anything is trained.

Nothing here needs TensorFlow, which takes seconds to import.
"""

from src.dataset.folds import EVERYTHING
from src.runs import Run
from src.tflite.scorer import LIMIT_MB
from src.training.roles import sizes


def outlook(run: Run) -> str:
    """How large a file with all networks that ship will be, as far as their weights tell."""
    ships = [name for name, recipe in run.recipes.items() if recipe.ships]
    weights = sum(parameters(run, name) for name in ships)
    megabytes = {bits: weights * bits / 8 / 1e6 for bits in (16, 8)}
    line = (
        f"in one file: {', '.join(ships)}, some {megabytes[16]:.1f} MB in 16 bits or "
        f"{megabytes[8]:.1f} MB in 8 (WEIGHTS=int8); the competition takes less than {LIMIT_MB:g}"
    )
    if megabytes[16] < LIMIT_MB:
        return line
    several = len([fold for fold in run.about.folds if fold != EVERYTHING]) > 1
    what = "takes the best members that fit" if several else "will need MEMBERS that fit"
    return f"{line}: with 16 bits 04 {what}"


def parameters(run: Run, name: str) -> int:
    """The parameters of a recipe's network that ships."""
    by_role = sizes(run.recipe(name), len(run.store.signs))
    return by_role.get("distilled", by_role["student"])
