"""6th place: MLP encoder, DeBERTa over frames, mean teacher and distilled student in one loop.

Theo Viel and Christof Henkel; private 0.877, public 0.795, four-fold CV 0.7490 for the pair of
distilled models; 16 V100-hours a fold and member. Document: "2 model ensemble of a
MLP-encoder-frame-transformer"; code: TheoViel/kaggle_islr (MIT).

Member A sees at most 25 frames, member B at most 80. Where the authors' code differs from their
document, `frame_deberta` has the document's value and `frame_deberta_code` the code's. The
published scores come from the code.
"""

from dataclasses import dataclass, replace

from src.landmarks import (
    ARMS,
    CHEEKS,
    LEFT_BROW_MEAN,
    LEFT_EYE_MEAN,
    LEFT_HAND,
    LIPS_21,
    NOSE_MEAN,
    POSE_NOSE,
    RIGHT_BROW_MEAN,
    RIGHT_EYE_MEAN,
    RIGHT_HAND,
    SILHOUETTE_18,
    Layout,
)
from src.losses import CrossEntropy
from src.models.frame_deberta import FACE, Config
from src.recipes.base import Recipe, Solution
from src.recipes.ingredients import AdamW, MeanTeacher, Role, WarmupLinear
from src.transforms.augment.parts import FaceCutMix, FillMissingHand
from src.transforms.augment.space import Flip, Rotate, Scale
from src.transforms.augment.time import Crop, FillMissing
from src.transforms.features.coordinates import Coordinates
from src.transforms.mix import ManifoldMixup
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline
from src.transforms.steps.frames import Hide, KeepFramesWith, Stride
from src.transforms.steps.normalise import Enlarge, FromShoulders, Standardise
from src.transforms.steps.one_handed import OneHanded

LAYOUT = Layout(  # 100 points; an average is one point
    {
        "left_hand": LEFT_HAND,
        "right_hand": RIGHT_HAND,
        "silhouette": SILHOUETTE_18,
        "lips": LIPS_21,
        "arms": ARMS,
        "cheeks": CHEEKS,
        "means": (LEFT_EYE_MEAN, RIGHT_EYE_MEAN, LEFT_BROW_MEAN, RIGHT_BROW_MEAN, NOSE_MEAN),
    }
)


@dataclass(frozen=True, kw_only=True)
class ClipSteps(ClipPipeline):
    """Remove frames without fingers, use one of every n, normalise the whole sequence.

    Hiding parts, measuring in shoulder widths and enlarging the hands are ours, for few clips.
    """

    hide: Hide | None = None
    one_handed: OneHanded | None = None
    hands: KeepFramesWith = KeepFramesWith(("left_hand", "right_hand"))
    stride: Stride
    normalise: Standardise | FromShoulders = Standardise()
    enlarge: Enlarge | None = None


@dataclass(frozen=True)
class Augment(AugmentationPipeline):
    """The document's augmentations, in the order of the authors' code."""

    face_cutmix: FaceCutMix | None = FaceCutMix(p=0.25, parts=(*FACE, "lips"), until=0.5)
    missing_hand: FillMissingHand | None = FillMissingHand(p=0.25, until=0.5)
    interpolate: FillMissing | None = FillMissing(p=0.5)
    flip: Flip | None = Flip(p=0.5)
    rotate: Rotate | None = Rotate(p=0.5, degrees=60.0)
    crop: Crop | None = Crop(p=0.5, share=0.2, min_frames=20)
    resize: Scale | None = Scale(p=0.5, low=0.7, high=1.3, distort_p=0.5)


@dataclass(frozen=True, kw_only=True)
class FrameDebertaRecipe(Recipe):
    """The 6th place's recipe; its members differ in frames and widths."""

    layout: Layout = LAYOUT
    clip: ClipSteps
    augment: Augment = Augment()
    features: Coordinates = Coordinates()
    model: Config
    distilled: Config | None
    loss: CrossEntropy = CrossEntropy(smoothing=0.3, among="others", drop=3, drop_per=32)
    mix: ManifoldMixup | None = ManifoldMixup(p=0.5, alpha=0.4, span=0.9)
    optimiser: AdamW = AdamW(
        lr=3e-4,
        weight_decay=0.4,
        # The code names "LayerNorm": neither the batch norms nor the encoder's two norms.
        no_decay=("bias", "attention_norm", "out_norm", "positions.norm"),
    )
    schedule: WarmupLinear = WarmupLinear(warmup=0.25)
    epochs: int = 100
    batch_size: int = 256  # eight GPUs of 32
    clip_norm: float = 10.0
    mean_teacher: MeanTeacher | None = MeanTeacher(decay=0.97, weight=5.0, ramp=0.25)
    soup_epochs: int = 10
    shipped: Role = "soup"


_DROPOUTS = (0.05, 0.1, 0.1)
A = FrameDebertaRecipe(
    name="frame_deberta_a",
    max_len=25,
    clip=ClipSteps(stride=Stride(25)),
    model=Config(25, dim=512, widths=(1024, 1280, 1536, 1536), dropouts=_DROPOUTS),
    distilled=Config(25, dim=192, widths=(512, 768, 768, 512), dropouts=_DROPOUTS),
)
B = FrameDebertaRecipe(
    name="frame_deberta_b",
    max_len=80,
    clip=ClipSteps(stride=Stride(80)),
    model=Config(80, dim=256, widths=(512, 768, 1024, 1024), dropouts=_DROPOUTS),
    distilled=Config(80, dim=192, widths=(512, 576, 576, 512), dropouts=_DROPOUTS),
)


def _as_in_the_code(recipe: FrameDebertaRecipe) -> FrameDebertaRecipe:
    """The values of the authors' public code."""
    student = {"mlp_dropout": 0.05, "dropouts": (0.05, 0.1, 0.2), "norm_rows": "padded"}
    distilled = {"mlp_dropout": 0.025, "norm_rows": "padded"}
    return replace(
        recipe,
        name=recipe.name.replace("frame_deberta", "frame_deberta_code"),
        augment=replace(
            recipe.augment,
            missing_hand=FillMissingHand(p=0.25, until=0.5, overwrite_left=True),
            rotate=Rotate(p=0.5, degrees=30.0),
            crop=Crop(p=0.5, share=0.2, min_frames=20, late_p=0.25),
            resize=Scale(p=0.25, low=0.7, high=1.3, distort_p=0.25, distort_by_sum=True),
        ),
        model=replace(recipe.model, **student),
        distilled=recipe.distilled and replace(recipe.distilled, **distilled),
        mix=replace(recipe.mix, falling=True),
    )


# For two CPU cores: a quarter of the distilled models' multiplications, no smaller network to
# distil into, and as many steps for a few hundred clips as for a thousand. The encoder has the
# code's dropout: with the document's 0.25 such small networks learn less. See profiles.py, too.
_CPU = {"distilled": None, "batch_size": 16, "steps": 24, "epochs": 40}
_CPU["optimiser"] = replace(B.optimiser, lr=5e-4)
_CPU["layout"] = Layout(LAYOUT.parts | {"arms": (*ARMS, POSE_NOSE)})
_SMALL = replace(B.model, dim=96, widths=(256, 288, 288, 256), mlp_dropout=0.025)
_LARGE_HANDS = Enlarge(("left_hand", "right_hand"), factor=3.0)
_FEW_CLIPS = {
    "hide": Hide((*FACE, "lips")),
    "normalise": FromShoulders(width=1.5, origin=POSE_NOSE),
    "enlarge": _LARGE_HANDS,
}
A_CPU = replace(A, model=replace(_SMALL, max_len=25), clip=replace(A.clip, **_FEW_CLIPS), **_CPU)
B_CPU = replace(B, model=_SMALL, clip=replace(B.clip, **_FEW_CLIPS), **_CPU)

# To show every part: a shorter training, with the face, and a distilled model beside the student.
_SAMPLE = {"normalise": FromShoulders(width=1.5), "enlarge": _LARGE_HANDS}
A_SAMPLE = replace(
    A_CPU, layout=LAYOUT, clip=replace(A.clip, **_SAMPLE), distilled=A_CPU.model, epochs=20
)
B_SAMPLE = replace(
    B_CPU, layout=LAYOUT, clip=replace(B.clip, **_SAMPLE), distilled=B_CPU.model, epochs=20
)

SOLUTION = Solution(
    source="6th place, Theo Viel and Christof Henkel (TheoViel/kaggle_islr, MIT)",
    score="private .877, public .795; CV .7490 (4 folds by signer), single .7402 and .7395",
    cost="8 V100: 10.3 h + 11.2 h for four folds and a fit on everything",
    full=(A, B),
    cpu=(A_CPU, B_CPU),
    sample=(A_SAMPLE, B_SAMPLE),
)
CODE_SOLUTION = replace(
    SOLUTION,
    source="6th place with the values of the authors' public code, by which its score was made",
    full=tuple(map(_as_in_the_code, SOLUTION.full)),
    cpu=tuple(map(_as_in_the_code, SOLUTION.cpu)),
    sample=tuple(map(_as_in_the_code, SOLUTION.sample)),
)
