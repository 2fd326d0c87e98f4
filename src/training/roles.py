"""The models of one training, and the losses that train them together.

- student: learns from the targets, and to agree with the teacher.
- teacher: follows the student's parameters and is never trained. It runs in training mode on a view
  of its own, and keeps its own batch-norm statistics.
- distilled: a smaller network that learns from the targets, and to agree with the teacher.
- ema: an average of the student's weights and buffers; it is not run in training.

Every model that is run in training sees its own augmented view of the same clips.
"""

import copy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from src import losses
from src.clips import Clips
from src.models.blocks import LayerMix
from src.recipes.base import Recipe
from src.recipes.ingredients import MeanTeacher, Role
from src.transforms.mix import ManifoldMixup, Pairs
from src.transforms.pipeline import Draw


def sizes(recipe: Recipe, classes: int) -> dict[Role, int]:
    """The number of parameters of each model in a recipe's training."""
    with torch.device("meta"):
        models = Trainee(recipe, classes).models
    return {role: sum(p.numel() for p in model.parameters()) for role, model in models.items()}


@dataclass(frozen=True)
class View:
    """What one model sees of a batch: features, mask, and how a hidden layer is mixed, if it is."""

    features: Tensor
    mask: Bool[Tensor, "B T"]
    mix: LayerMix | None

    @property
    def inputs(self) -> tuple:
        """The network's arguments; a network without manifold mixup never gets `mix`."""
        both = self.features, self.mask
        return both if self.mix is None else (*both, self.mix)


def consistency_weight(config: MeanTeacher, progress: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The weight of the consistency loss at this share of the training."""
    t = (progress / config.ramp).clamp(max=1.0) if config.ramp else torch.ones_like(progress)
    return config.weight * torch.exp(-5 * (1 - t).square())


class Trainee(nn.Module):
    """All models of a training; calling it gives the losses of one step."""

    def __init__(self, recipe: Recipe, classes: int):
        super().__init__()
        self.recipe, self.classes = recipe, classes
        student = recipe.model.build(recipe.layout, classes)
        self.models = nn.ModuleDict({"student": student})
        if recipe.mean_teacher:
            self.models["teacher"] = copy.deepcopy(student).requires_grad_(False)
        if recipe.distilled:
            self.models["distilled"] = recipe.distilled.build(recipe.layout, classes)
        if recipe.ema:
            self.models["ema"] = copy.deepcopy(student).requires_grad_(False)

    @property
    def trained(self) -> dict[Role, nn.Module]:
        """The models with gradients."""
        return {role: self.models[role] for role in self.models if role in ("student", "distilled")}

    @property
    def seeing(self) -> tuple[Role, ...]:
        """The models that are run in training."""
        return tuple(role for role in self.models if role != "ema")

    @property
    def leader(self) -> nn.Module:
        """The model that soup and best weights are made from: ema, else distilled, else student."""
        role = next(role for role in ("ema", "distilled", "student") if role in self.models)
        return self.models[role]

    def views(
        self, clips: Clips, draw: Draw
    ) -> tuple[dict[Role, View], Float[Tensor, "B K"], Pairs | None]:
        """An independently augmented view of the batch for each model of `seeing`.

        `draw.donor` holds a batch of donors for each of them, one after the other.
        Returns the views; the targets, mixed like the clips; which clips are mixed.
        """
        n, recipe, roles = len(clips.label), self.recipe, self.seeing
        seen = recipe.augment(clips.repeat(len(roles)), recipe.layout, draw)
        features = recipe.features(seen.xyz, seen.mask, recipe.layout)
        # Not torch's one_hot, which reads the labels on the host to check them.
        target = (
            clips.label[:, None] == torch.arange(self.classes, device=clips.label.device)
        ).float()
        pairs = recipe.mix.pairs(n, draw) if recipe.mix else None
        if pairs is not None:
            target = pairs.target(target)
        views = {}
        for role, x, mask in zip(roles, features.split(n), seen.mask.split(n), strict=True):
            view = self._mixed(role, x, mask, pairs, draw)
            if recipe.keep_frames:
                view = replace(view, mask=recipe.keep_frames(view.mask, draw))
            views[role] = view
        return views, target, pairs

    def _mixed(self, role: Role, x: Tensor, mask: Tensor, pairs: Pairs | None, draw: Draw) -> View:
        """One model's view; the pairs are the same for all models, the hidden layer is not."""
        if pairs is None:
            return View(x, mask, None)
        if isinstance(self.recipe.mix, ManifoldMixup):
            depth = len(self.models[role].layers)
            layer = torch.full((), draw.host.randrange(depth), device=x.device)
            return View(x, mask, LayerMix(pairs.partner, pairs.share, layer))
        return View(*self.recipe.mix.inputs(x, mask, pairs, draw), None)

    def forward(
        self,
        views: dict[Role, View],
        target: Float[Tensor, "B K"],
        progress: Float[Tensor, ""],
        guidance: Float[Tensor, "B K"] | None = None,
    ) -> dict[Role, Float[Tensor, ""]]:
        """The loss of every trained model.

        Args:
            views: what each model sees.
            target: distributions over the signs.
            progress: share of the training that is done; a tensor, so that a compiled step is
                compiled once.
            guidance: a frozen teacher's probabilities.
        """
        recipe, teacher_logits = self.recipe, None
        if "teacher" in self.models:
            with torch.no_grad():
                teacher_logits = self.models["teacher"](*views["teacher"].inputs)["logits"]
        step_losses = {}
        for role in self.trained:
            out = self.models[role](*views[role].inputs)
            loss = recipe.loss(out, target, progress)
            if teacher_logits is not None:
                weight = consistency_weight(recipe.mean_teacher, progress)
                loss = loss + weight * losses.consistency(out["logits"], teacher_logits)
            if guidance is not None:
                learned = losses.distillation(out["logits"], guidance, recipe.distil.temperature)
                loss = loss + recipe.distil.weight * learned
            step_losses[role] = loss
        return step_losses
