"""A pupil of all, and beside it one of its teachers: a small file, nearly as good as all five.

`RECIPES=pupil` trains the five published solutions, and then the pupil. Two networks go into the
file: the pupil, and the 2nd place's, which reads a hand by its shape. Ours. On real clips
(docs/results.md) the file has .778, the five together .781 in six times the space; the pupil alone
has .722, and the same network without teachers .691.

- The pupil is the 1st place's network, which is small and needs no stages.
- It learns from the labels and from the mean of what the five say about a clip. Those that read
  other points or frames than it does are asked once, about the clips without augmentation. The
  1st place's own reads the same, and is asked about what the pupil sees.
- A teacher says little more than the label of a clip that it has learnt from. So the pupil does
  not learn to see what a network of another kind sees, and one of another kind goes beside it.
"""

from dataclasses import replace

from src.recipes import conv_transformer, frame_deberta, hand_bert, hierarchical, llama
from src.recipes.base import Recipe, Solution
from src.recipes.ingredients import Distil

TEACHERS = tuple(
    module.SOLUTION for module in (frame_deberta, hand_bert, conv_transformer, llama, hierarchical)
)
BESIDE = hand_bert.SOLUTION  # of the teachers, the one that goes into the file as well


def taught(profile: str) -> tuple[Recipe, ...]:
    """The five solutions in one of their sizes, and then the pupil."""
    teachers = [recipe for solution in TEACHERS for recipe in solution.recipes(profile)]
    names = [recipe.name for recipe in teachers if recipe.ships]
    (network,) = conv_transformer.SOLUTION.recipes(profile)
    pupil = replace(network, name="pupil", seed=1, distil=Distil(teacher=",".join(names)))
    beside = {recipe.name for recipe in BESIDE.recipes(profile) if recipe.ships}
    return (*(replace(each, ships=each.name in beside) for each in teachers), pupil)


SOLUTION = Solution(
    source="ours, of the five solutions above",
    score="none published",
    cost="that of all five, and of the 1st place's once more",
    full=taught("full"),
    cpu=taught("cpu"),
    sample=taught("sample"),
)
