"""README's way to add a solution and an augmentation: a few classes that go all the way."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from src.clips import Clips
from src.evaluation.ensemble import Vote
from src.landmarks import LEFT_HAND, RIGHT_HAND, Layout
from src.losses import CrossEntropy
from src.models.blocks import masked_mean
from src.recipes import SOLUTIONS, choose, config
from src.recipes.base import Recipe, Solution
from src.recipes.ingredients import AdamW, Cosine
from src.runs import Run
from src.submission import assemble
from src.tflite.export import write_tflite
from src.tflite.parity import edge_clips, ladder
from src.training.train_all import train_all
from src.transforms.augment.sometimes import ByChance
from src.transforms.features.coordinates import Coordinates
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline, Draw
from src.transforms.steps.frames import Stride
from src.transforms.steps.normalise import Standardise
from tests.training.trained import FP32, run_on

# --- src/models/means.py ------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    width: int

    def build(self, layout: Layout, classes: int) -> nn.Module:
        """Build the network with new random weights."""
        return Means(self, layout, classes)


class Means(nn.Module):
    """A hidden layer over frames, their mean, a classifier."""

    def __init__(self, config: Config, layout: Layout, classes: int):
        super().__init__()
        self.hidden = nn.Linear(3 * len(layout), config.width)
        self.classifier = nn.Linear(config.width, classes)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Classify a batch of features."""
        pooled = masked_mean(self.hidden(x.flatten(2)).relu(), mask)
        return {"logits": self.classifier(pooled), "pooled": pooled}


# --- src/transforms/augment/closer.py -----------------------------------------------------------


@dataclass(frozen=True)
class Closer(ByChance):
    """Draw the points of a clip nearer to the origin."""

    factor: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        """The points of all clips as they would be if every clip were chosen."""
        return self.factor * clips.xyz


# --- src/recipes/means.py -----------------------------------------------------------------------


@dataclass(frozen=True)
class ClipSteps(ClipPipeline):
    """Use at most some frames, standardise."""

    stride: Stride
    standardise: Standardise


@dataclass(frozen=True)
class Augment(AugmentationPipeline):
    """One augmentation."""

    closer: Closer


@dataclass(frozen=True, kw_only=True)
class MeansRecipe(Recipe):
    """All values of the solution."""

    layout: Layout = Layout({"left_hand": LEFT_HAND, "right_hand": RIGHT_HAND})
    clip: ClipSteps = ClipSteps(Stride(16), Standardise())
    augment: Augment = Augment(Closer(p=0.5, factor=0.9))
    features: Coordinates = Coordinates()
    model: Config = Config(width=32)
    max_len: int = 16
    loss: CrossEntropy = CrossEntropy()
    optimiser: AdamW = AdamW(lr=1e-2)
    schedule: Cosine = Cosine(floor=0.0)
    epochs: int = 12
    batch_size: int = 8


MEANS = MeansRecipe(name="means")
SOLUTION = Solution(
    source="nobody", score="unknown", cost="a second", full=(MEANS,), cpu=(MEANS,), sample=(MEANS,)
)


def test_a_new_recipe_goes_from_its_file_to_a_tflite_file(sample, tmp_path, monkeypatch):
    """What it needs outside its own files is one line: its place in SOLUTIONS."""
    monkeypatch.setitem(SOLUTIONS, "means", SOLUTION)
    (recipe,) = choose("means", "cpu")
    recipe = config.override(recipe, "--augment.closer.factor 0.8 --epochs 10")
    assert recipe.augment.closer.factor == 0.8

    run = Run.open(run_on(sample, [recipe], tmp_path).folder)  # from its JSON
    assert run.recipes == {"means": recipe}
    train_all(run, FP32, "cpu")

    members = assemble.members(run, 0, {"means": Vote(1.0)})
    exported = write_tflite(members, run.folder / "model.tflite")
    rungs = ladder(exported, list(edge_clips(recipe.max_len).values()))
    assert rungs.passed, str(rungs)
    assert Path(exported.path).stat().st_size < 1e5
