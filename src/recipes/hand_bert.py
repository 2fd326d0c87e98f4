"""2nd place's transformers: BERT or DeBERTa over hand-made features, distilled three times.

ffs333 and team; public 0.81 together with a convolutional network that has about 0.80 alone. Only
one score of the transformers alone is known: 0.717, on one fold of other signers, for a smaller
network of three layers. Training time unknown. Documents: second-place-transformers.txt; code:
ffs333/2nd_place_GISLR (Apache-2.0).

Their script keeps the epoch that does best on held-out clips. Here the last epoch is kept, because
a fit on everything has no held-out clips to choose by.

There are three stages: four layers from scratch; four layers again, taught by the first stage;
three layers that start as the first three of the second stage and are taught by it. Only the third
is a member of an ensemble. Where the authors' code differs from their document, the document's
value is used here, and the code's is given beside it. In their code the two sides of the mirrored
lips share memory and end up as the same side: here they are exchanged, as the document says.

Neither the document nor the code states the distillation loss or its weight. Here it is T^2
KL(teacher || student) at temperature T = 2, weight 1, added to the smoothed cross entropy. Its form
is that of Hinton et al. (arXiv 1503.02531), where T^2 keeps both gradients at one scale. The
teacher is frozen and sees the student's augmented clips.
"""

from dataclasses import dataclass, replace

from src.common.errors import InputError
from src.landmarks import (
    LEFT_HAND,
    LEFT_SHOULDER,
    LIPS_40_BY_SIDE,
    POSE_NOSE,
    RIGHT_HAND,
    RIGHT_SHOULDER,
    Layout,
)
from src.losses import CrossEntropy
from src.models.hand_bert import Config
from src.recipes.base import Recipe, Solution
from src.recipes.ingredients import Distil, FlatCosine, Ranger
from src.transforms.augment.fingers import BendFingers
from src.transforms.augment.resample import Stretch
from src.transforms.augment.space import Flip, ScaleShiftRotate
from src.transforms.features.hand_bert import HandBertFeatures
from src.transforms.mix import ManifoldMixup
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline
from src.transforms.steps.frames import Hide, Subsample
from src.transforms.steps.normalise import FromShoulders
from src.transforms.steps.one_handed import OneHanded

LAYOUT = Layout(  # 82 points, of which the features read 61
    {"lips": LIPS_40_BY_SIDE, "left_hand": LEFT_HAND, "right_hand": RIGHT_HAND}
)
LONGEST = 1024  # frames; well above the longest clips of the competition


@dataclass(frozen=True)
class ClipSteps(ClipPipeline):
    """Keep every frame: the network subsamples a long clip's features, not its frames.

    The authors' exported graph subsampled the frames instead, so the motions of a long clip
    differed from those in training.
    """

    hide: Hide | None = None
    one_handed: OneHanded | None = None
    shoulders: FromShoulders | None = None
    subsample: Subsample = Subsample(LONGEST)  # code's graph: 96


@dataclass(frozen=True)
class Augment(AugmentationPipeline):
    """The document's augmentations, in the order of the authors' code."""

    affine: ScaleShiftRotate | None = ScaleShiftRotate(
        p=0.8, low=0.8, high=1.5, shift=0.1, degrees=15.0
    )
    stretch: Stretch | None = Stretch(p=0.3, low=0.8, high=1.5, shift=0.5)
    # Code: joint_p=0.4. The document gives no p; this one is the code's.
    fingers: BendFingers | None = BendFingers(p=0.9, joint_p=0.15, degrees=4.0)
    flip: Flip | None = Flip(p=0.5)


@dataclass(frozen=True, kw_only=True)
class HandBertRecipe(Recipe):
    """One stage of the 2nd place's recipe.

    Raises:
        InputError: the network does not read as many numbers as the features make.
    """

    layout: Layout = LAYOUT
    clip: ClipSteps = ClipSteps()
    augment: Augment = Augment()
    features: HandBertFeatures = HandBertFeatures()  # code: interior_angles, future_first
    model: Config
    distilled: Config | None = None
    max_len: int = LONGEST
    loss: CrossEntropy = CrossEntropy(smoothing=0.5)
    mix: ManifoldMixup | None = None  # the authors: "works only with CNN"
    optimiser: Ranger = Ranger(lr=2e-4)  # the code's rate; the document gives none
    schedule: FlatCosine = FlatCosine(flat=45 / 70)
    epochs: int = 70
    batch_size: int = 128
    clip_norm: float = 10.0

    def __post_init__(self) -> None:
        if self.model.features != self.features.size:
            raise InputError(
                f"model.features {self.model.features}: expected {self.features.size}, the length "
                "of the vector that the features make of each frame"
            )


def stages(recipe: HandBertRecipe) -> tuple[HandBertRecipe, ...]:
    """The three trainings of one network, <name>_1 to <name>_3, each with its own seed."""
    first, second, third = (f"{recipe.name}_{number}" for number in (1, 2, 3))
    scratch = replace(recipe, name=first, ships=False)
    again = replace(scratch, name=second, seed=1, distil=Distil(teacher=first))
    smaller = replace(
        recipe,
        name=third,
        seed=2,
        model=replace(recipe.model, layers=recipe.model.layers - 1),
        start=second,
        distil=Distil(teacher=second),
    )
    return scratch, again, smaller


BERT = HandBertRecipe(name="hand_bert", model=Config(layers=4))
DEBERTA = HandBertRecipe(
    name="hand_deberta",
    model=Config(layers=4, family="deberta"),  # code: disentangled=False
)

# For a few hundred clips and two CPU cores: narrower, and the same number of steps for any data.
_SMALL = {"epochs": 60, "steps": 15, "batch_size": 16, "optimiser": Ranger(lr=2e-3)}
_NARROW = {"layers": 3, "width": 128, "inner": 256}
BERT_SAMPLE = replace(BERT, model=replace(BERT.model, **_NARROW), **_SMALL)
DEBERTA_SAMPLE = replace(DEBERTA, model=replace(DEBERTA.model, **_NARROW), **_SMALL)

# For few clips, see profiles.py. The published features describe a hand, but do not say where it is
# on the body, so the wrists' places are added, counted from the nose.
_FEW_FEATURES = HandBertFeatures(mirror_x=0.0, wrists=True)


def _for_few_clips(recipe: HandBertRecipe) -> HandBertRecipe:
    return replace(
        recipe,
        layout=Layout(LAYOUT.parts | {"body": (LEFT_SHOULDER, RIGHT_SHOULDER, POSE_NOSE)}),
        clip=ClipSteps(hide=Hide(("lips",)), shoulders=FromShoulders(width=1.0, origin=POSE_NOSE)),
        features=_FEW_FEATURES,
        model=replace(recipe.model, features=_FEW_FEATURES.size),
    )


BERT_CPU, DEBERTA_CPU = _for_few_clips(BERT_SAMPLE), _for_few_clips(DEBERTA_SAMPLE)

SOLUTION = Solution(
    source="2nd place's transformers, ffs333 and team (ffs333/2nd_place_GISLR, Apache-2.0)",
    score="public .81 together with a CNN that has .80 alone; of the transformers alone .717 on "
    "one fold, a smaller one",
    cost="70 epochs; time unknown",
    full=stages(BERT),
    cpu=stages(BERT_CPU),
    sample=stages(BERT_SAMPLE),
)
DEBERTA_SOLUTION = replace(
    SOLUTION, full=stages(DEBERTA), cpu=stages(DEBERTA_CPU), sample=stages(DEBERTA_SAMPLE)
)
