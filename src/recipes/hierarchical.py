"""Slovo: hands, lips and pose embedded apart, local and global transformer blocks, three stages.

A Russian document on Slovo's 500 and 1,000 signs; accuracy unknown. Training on one Tesla P100 with
batches of 32: 14 h 40 min for 500 signs (169, 123 and 228 epochs of 7,500 clips), 27 h 42 min for
1,000 (100, 130 and 150 epochs of 15,015 clips). Document: slovo-hierarchical.txt; code: public
model, preprocessor and app files; the script that trained it is unknown.

There are three stages: the first starts from scratch, the others from the best weights so far. Each
stops early and keeps its best weights, which may be those it started from. The best epoch is chosen
on one signer who is neither learnt from nor scored (`training.train.choosing_clips`), also in a fit
on everything. Only the third stage is a member of an ensemble. The document itself says that later
stages learn by heart: notebook 02 draws training and held-out accuracy in one picture.

- A network of the published sizes (`PUBLISHED`, d = 512, 128 frames) has 67 MB in half precision.
  It can be trained, but not submitted. What ships (`SHIPPED`) has d = 384, 64 frames, all layers.
- Where the authors' code differs from their document, the document's value is used here, and the
  code's is given beside it. Neither states the optimiser, weight decay, clipping, the stages'
  learning rates, patience, or the window of the local blocks; those values are ours.
- The document's suggested next steps are here, with probability or weight 0: see `Improvements`,
  `model.sparse_stride`, `model.stochastic_depth`, `model.layer_drop`, `loss.gamma_at_start`,
  `loss.margin_weight`, `loss.cross_modal`, other values of `schedule`, `mean_teacher` (then an
  average of the student is its teacher: self-distillation), `optimiser.layer_decay`.
"""

from dataclasses import dataclass, replace

from src.landmarks import (
    LEFT_FOREARM,
    LEFT_HAND,
    LEFT_SHOULDER,
    LIPS_40,
    RIGHT_FOREARM,
    RIGHT_HAND,
    RIGHT_SHOULDER,
    Layout,
)
from src.losses import FocalWithAuxiliary
from src.models.hierarchical import Config
from src.recipes.base import Recipe, Solution
from src.recipes.ingredients import (
    AdamW,
    EarlyStopping,
    OneCycle,
    OnPlateau,
    Role,
    WarmRestarts,
    WarmupCycles,
)
from src.transforms.augment.camera import CameraAngle, Turn
from src.transforms.augment.hide import HidePoints
from src.transforms.augment.noise import Bend, DetectorErrors, Jitter
from src.transforms.augment.pace import KeepFrames, Piece, TimeWarp, UnevenSpeed
from src.transforms.augment.sometimes import Sometimes
from src.transforms.augment.space import Flip, Scale
from src.transforms.features.coordinates import Coordinates
from src.transforms.mix import PointMixup
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline
from src.transforms.steps.frames import FitLength, Hide, KeepFramesWith
from src.transforms.steps.normalise import (
    Enlarge,
    FromShoulders,
    IntoImage,
    MirrorHands,
    Standardise,
)
from src.transforms.steps.one_handed import OneHanded

LAYOUT = Layout(  # 87 points are read; the other forearm is for mirroring
    {
        "lips": LIPS_40,
        "left_hand": LEFT_HAND,
        "right_hand": RIGHT_HAND,
        "pose": LEFT_FOREARM,
        "other_forearm": RIGHT_FOREARM,
    }
)


@dataclass(frozen=True, kw_only=True)
class ClipSteps(ClipPipeline):
    """Remove frames without hands, and bring every clip to the same length.

    `hide`, `one_handed`, `shoulders`, `into_image` and `enlarge` are ours, for few clips.
    """

    hide: Hide | None = None
    one_handed: OneHanded | None = None
    shoulders: FromShoulders | None = None
    into_image: IntoImage | None = None  # for the augmentations
    hands: KeepFramesWith = KeepFramesWith(("left_hand", "right_hand"))
    mirror_hands: MirrorHands | None = None  # code: MirrorHands()
    standardise: Standardise | None = None  # per clip, which the document does not do
    enlarge: Enlarge | None = None
    length: FitLength  # code: keep_short=True


@dataclass(frozen=True)
class Published(AugmentationPipeline):
    """The document's three augmentations, with the code's values."""

    time_warp: TimeWarp = TimeWarp(p=0.3, low=0.8, high=1.2, min_frames=11, keep=5)
    noise: Jitter = Jitter(p=0.2, sigma=0.01)
    scale: Scale = Scale(p=0.3, low=0.9, high=1.1, centre=0.5)


@dataclass(frozen=True)
class Improvements(AugmentationPipeline):
    """The document's suggested improvements; all are off."""

    hide_points: HidePoints = HidePoints(p=0.0, share=0.1)
    bend: Bend = Bend(p=0.0, pull=0.02, reach=0.1)
    mirror: Flip = Flip(p=0.0, centre=0.5)
    piece: Piece = Piece(p=0.0, share=0.7)
    uneven_speed: UnevenSpeed = UnevenSpeed(p=0.0, amount=0.5)
    turn: Turn = Turn(p=0.0, degrees=(10.0, 15.0, 10.0), centre=0.5)
    camera: CameraAngle = CameraAngle(p=0.0, degrees=(10.0, 15.0), distance=2.0, centre=0.5)
    detector: DetectorErrors = DetectorErrors(
        p=0.0, jump=0.005, lose=0.02, lost_frames=3, swap=0.01
    )


@dataclass(frozen=True)
class Augment(AugmentationPipeline):
    """The published augmentations, for half of the clips, and the suggested improvements."""

    published: Sometimes[Published] = Sometimes(0.5, Published())
    improvements: Sometimes[Improvements] = Sometimes(1.0, Improvements())


@dataclass(frozen=True, kw_only=True)
class HierarchicalRecipe(Recipe):
    """Slovo's recipe; its stages differ in their first weights, learning rates and epochs."""

    layout: Layout = LAYOUT
    clip: ClipSteps
    augment: Augment = Augment()
    features: Coordinates = Coordinates(axes=2)
    model: Config
    loss: FocalWithAuxiliary = FocalWithAuxiliary(
        smoothing=0.1, gamma=2.0, auxiliary=0.2, auxiliary_decay=0.5
    )
    mix: PointMixup | None = PointMixup(p=1.0, alpha=0.2)
    keep_frames: KeepFrames | None = KeepFrames(p=1.0, keep=0.8, least=0.2)
    optimiser: AdamW = AdamW(lr=3e-4, weight_decay=0.01)
    schedule: WarmupCycles | WarmRestarts | OneCycle | OnPlateau = WarmupCycles(
        warmup=5.0, cycle=20.0, decay=0.8, floor=1 / 30
    )
    batch_size: int = 32
    clip_norm: float = 1.0
    stop: EarlyStopping | None
    shipped: Role = "best"


def _stages(first: HierarchicalRecipe, *epochs: int) -> tuple[HierarchicalRecipe, ...]:
    """The stages of a recipe: the first from scratch, the others from the best weights so far."""
    stages: list[HierarchicalRecipe] = []
    for number, n_epochs in enumerate(epochs):
        stage = replace(first, name=f"{first.name}_{number + 1}", epochs=n_epochs)
        stage = replace(stage, ships=number + 1 == len(epochs))
        if stages:
            optimiser = replace(first.optimiser, lr=first.optimiser.lr / 3)
            stage = replace(stage, start=stages[-1].name, optimiser=optimiser)
        stages.append(stage)
    return tuple(stages)


# Code: Config(local_window=None, averaged_bins=True, random_query=True, attention_dropout=0.1), and
# its classifier narrows 512 to 256 and 128 at any width (widths). The published augmentation scales
# about the picture's middle, the code's about its corner (scale.centre=0).
PUBLISHED = HierarchicalRecipe(
    name="hierarchical_published",
    clip=ClipSteps(length=FitLength(128)),
    model=Config(128),
    max_len=128,
    epochs=0,
    stop=EarlyStopping(patience=40),
)
SHIPPED = replace(
    PUBLISHED,
    name="hierarchical",
    clip=ClipSteps(length=FitLength(64)),
    model=Config(64, dim=384),
    max_len=64,
)
_SMALL = replace(
    SHIPPED,
    clip=ClipSteps(length=FitLength(32)),
    model=Config(32, dim=192, local_layers=2, global_layers=2),
    max_len=32,
    stop=EarlyStopping(patience=15),
)
SAMPLE = _stages(_SMALL, 40, 20, 20)

# For few clips, see profiles.py: always the same number of batches. The network does not see the
# shoulders; in a picture they are usually 0.33 apart. Clips are mirrored to one signing hand,
# because no augmentation exchanges the hands here. The network also reads the hands' shapes.
_FEW_CLIPS = replace(
    _SMALL,
    layout=Layout(LAYOUT.parts | {"shoulders": (LEFT_SHOULDER, RIGHT_SHOULDER)}),
    clip=replace(
        _SMALL.clip,
        hide=Hide(("lips",)),
        one_handed=OneHanded(),
        shoulders=FromShoulders(width=0.33),
        into_image=IntoImage(),
        enlarge=Enlarge(("left_hand", "right_hand"), factor=3.0),
    ),
    model=replace(_SMALL.model, hand_shapes=True),
    steps=8,
)
CPU = _stages(_FEW_CLIPS, 40, 20, 20)

SOLUTION = Solution(
    source="Slovo, a Russian document (500 and 1,000 signs)",
    score="unknown",
    cost="one P100: 14 h 40 min for 500 signs, 27 h 42 min for 1,000",
    full=_stages(SHIPPED, 169, 123, 228),
    cpu=CPU,
    sample=SAMPLE,
)
