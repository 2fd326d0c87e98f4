"""A finished teacher and mixup: what it answers is about the clips as the student sees them."""

import copy
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch

from src.dataset.batches import plan
from src.recipes.frame_deberta import FrameDebertaRecipe
from src.training.loop import Loop
from src.training.roles import Trainee, View
from src.training.teachers import CachedTeacher, LiveTeacher
from src.transforms.mix import ManifoldMixup, PointMixup, WindowMixup
from tests.training.trained import FP32, ONE

MIXUPS = {
    "none": None,
    "manifold": ManifoldMixup(p=1e9, alpha=0.4, span=1.0),
    "window": WindowMixup(alpha=0.5),
    "point": PointMixup(p=1.0, alpha=0.2),
}


@dataclass(frozen=True, kw_only=True)
class WithAnyMixup(FrameDebertaRecipe):
    mix: ManifoldMixup | WindowMixup | PointMixup | None


@pytest.fixture(params=MIXUPS)
def seen(request, tiny_recipe, tiny_clips):
    """The student, what it sees of a batch of mixed clips, who is mixed, and the clips' numbers."""
    values = {field.name: getattr(tiny_recipe, field.name) for field in fields(tiny_recipe)}
    alone = {"mix": MIXUPS[request.param], "mean_teacher": None, "distilled": None}
    recipe = WithAnyMixup(**values | alone)
    torch.manual_seed(0)
    trainee = Trainee(recipe, 3).eval()
    batches = list(plan(tiny_clips.length, 8, np.random.default_rng(0)))
    batch = list(Loop(recipe, trainee, FP32, ONE).batches(tiny_clips, batches, 0))[1]
    views, _, pairs = trainee.views(batch.clips, batch.draw)
    assert (pairs is None) == (recipe.mix is None)
    return trainee.models["student"], views["student"], pairs, batch.index


def test_a_live_teacher_sees_the_clips_mixed(seen):
    """A teacher that is the student itself gives the student's own answers."""
    student, view, pairs, index = seen
    mix = () if view.mix is None else (view.mix,)
    with torch.no_grad():
        logits = student(view.features, view.mask, *mix)["logits"]
    answers = LiveTeacher(copy.deepcopy(student), 2.0)(view, pairs, index)
    torch.testing.assert_close(answers, (logits / 2.0).softmax(-1))


def test_a_teacher_of_fewer_layers_mixes_before_its_last(seen):
    student, view, pairs, index = seen
    if view.mix is None:
        return  # only manifold mixup happens inside of a network
    less = copy.deepcopy(student)
    less.layers, less.classifier = less.layers[:1], torch.nn.Linear(24, 3)
    teacher = LiveTeacher(less, 1.0)
    before = [replace(view, mix=replace(view.mix, layer=torch.tensor(n))) for n in (0, 1)]
    first, deep = (teacher(each, pairs, index) for each in before)
    assert torch.equal(deep, first)
    unmixed = teacher(replace(view, mix=None), pairs, index)
    assert (deep - unmixed).abs().max() > 1e-3


def test_a_cached_teacher_mixes_its_answers(seen):
    _, view, pairs, index = seen
    table = np.random.default_rng(0).normal(size=(26, 3))
    answers = CachedTeacher(torch.from_numpy(table), 2.0)(view, pairs, index).numpy()
    own = np.exp(table / 2) / np.exp(table / 2).sum(1, keepdims=True)
    expected = own[index]
    if pairs is not None:
        share = pairs.share.numpy()[:, None]
        expected = share * expected + (1 - share) * own[index[pairs.partner]]
    np.testing.assert_allclose(answers, expected, rtol=1e-5)


def test_a_teacher_need_not_know_of_manifold_mixup(tiny_recipe, tiny_clips):
    """As README has networks: called with features and mask alone."""

    class Plain(torch.nn.Module):
        def forward(self, features, mask=None):
            return {"logits": features.flatten(1)[:, :3]}

    clips = tiny_clips.gather(torch.arange(4), 8)
    features = tiny_recipe.features(clips.xyz, clips.mask, tiny_recipe.layout)
    answers = LiveTeacher(Plain(), 1.0)(View(features, clips.mask, None), None, torch.arange(4))
    torch.testing.assert_close(answers, features.flatten(1)[:, :3].softmax(-1))
