"""A pupil of all: one small network that learns from five published solutions together.

`RECIPES=pupil` trains the five, and then the pupil, which is the only one in the file. Ours. On
real clips it has .722, and the same network without teachers .691 (docs/results.md): less than the
five together, because a teacher says little more than the label of a clip that it has learnt from.
`RECIPES=pupil,hand_bert` puts the 2nd place's network beside it, which reads a hand by its shape:
a small file, nearly as good as the five together (.778 and .781).

- The pupil is the 1st place's network, which is small and needs no stages.
- It learns from the labels and from the mean of what the five say about a clip. Those that read
  other points or frames than it does are asked once, about the clips without augmentation. The
  1st place's own reads the same, and is asked about what the pupil sees.
"""

from __future__ import annotations

from dataclasses import replace

from src.recipes import conv_transformer, frame_deberta, hand_bert, hierarchical, llama
from src.recipes.base import Recipe, Solution
from src.recipes.ingredients import Distil

TEACHERS = tuple(
    module.SOLUTION for module in (frame_deberta, hand_bert, conv_transformer, llama, hierarchical)
)


def taught(profile: str) -> tuple[Recipe, ...]:
    """The five solutions in one of their sizes, and then the pupil."""
    teachers = [recipe for solution in TEACHERS for recipe in solution.recipes(profile)]
    names = [recipe.name for recipe in teachers if recipe.ships]
    (network,) = conv_transformer.SOLUTION.recipes(profile)
    pupil = replace(network, name="pupil", seed=1, distil=Distil(teacher=",".join(names)))
    return (*(replace(teacher, ships=False) for teacher in teachers), pupil)


SOLUTION = Solution(
    source="ours, of the five solutions above",
    score="none published",
    cost="that of all five, and of the 1st place's once more",
    full=taught("full"),
    cpu=taught("cpu"),
    sample=taught("sample"),
)
