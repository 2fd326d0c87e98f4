"""Print the published solutions as a table: sources, scores, parameters.

python -m src.recipes
"""

import pandas as pd
import torch

from src.common.markdown import as_markdown
from src.recipes import SOLUTIONS
from src.recipes.base import Recipe

CLASSES = 250  # signs of the competition


def parameters(recipe: Recipe) -> int:
    """The number of parameters in the network that a recipe ships."""
    with torch.device("meta"):
        network = recipe.config_of(recipe.shipped).build(recipe.layout, CLASSES)
    return sum(p.numel() for p in network.parameters())


def table() -> pd.DataFrame:
    """A row per solution: its source, what its authors report, its published size."""
    rows = {
        f"`{name}`": {
            "source": solution.source,
            "published score": solution.score,
            "published cost": solution.cost,
            "parameters": " + ".join(f"{parameters(r):,}" for r in solution.full if r.ships),
        }
        for name, solution in SOLUTIONS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("solution")


if __name__ == "__main__":
    print(as_markdown(table()))
