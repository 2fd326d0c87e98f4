"""A pupil of all five solutions, shipped with one of its teachers: small, and nearly as good.

`RECIPES=pupil` trains the five published solutions, and then the pupil. Two networks go into the
file: the pupil, and the 2nd place's, which reads the shape of a hand. This solution is ours. On
real clips (docs/results.md) the file's accuracy is .778; the five together reach .781 in six times
the space, the pupil alone .722, and the same network without teachers .691.

- The pupil is the 1st place's network, which is small and needs no stages.
- It learns from the labels and from the mean of the five solutions' answers. Teachers that read
  other points or frames than the pupil answer once, for the clips without augmentation. The 1st
  place's network reads what the pupil reads, so it answers for the pupil's augmented clips.
- About a clip that it has learnt from, a teacher says little more than the label. So the pupil
  does not learn what a network of another kind would see, and ships with one such network.
"""

from dataclasses import replace

from src.recipes import conv_transformer, frame_deberta, hand_bert, hierarchical, llama
from src.recipes.base import Recipe, Solution
from src.recipes.ingredients import Distil

TEACHERS = tuple(
    module.SOLUTION for module in (frame_deberta, hand_bert, conv_transformer, llama, hierarchical)
)
BESIDE = hand_bert.SOLUTION  # the teacher that goes into the file as well


def taught(profile: str) -> tuple[Recipe, ...]:
    """The recipes of the five solutions in a profile's size, and then the pupil."""
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
