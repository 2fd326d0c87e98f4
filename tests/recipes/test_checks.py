"""What flags or a new recipe break is refused before a training, in one line: what to do, too."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from src.common.errors import InputError
from src.recipes import SOLUTIONS, choose
from src.recipes.base import Recipe, Solution
from src.recipes.checks import overridden
from src.recipes.ingredients import Ema
from src.recipes.profiles import PROFILES
from src.training.roles import Trainee
from src.transforms.pipeline import AugmentationPipeline, ClipPipeline
from src.transforms.steps.frames import Stride
from src.transforms.steps.normalise import Standardise
from tests.recipes.test_adding import MEANS, MeansRecipe


@pytest.mark.parametrize("name", SOLUTIONS)
def test_every_solution_passes_as_it_is_and_with_a_usual_flag(name):
    for profile in PROFILES:
        recipes = choose(name, profile)
        assert overridden(recipes, "") == [*recipes]
    changed = overridden(choose(name, "sample"), "--epochs 3")
    assert {recipe.epochs for recipe in changed} == {3}


def test_the_roles_are_those_of_the_training():
    for name in SOLUTIONS:
        for recipe in choose(name, "sample"):
            trained = {*Trainee(recipe, 3).models}
            assert {*recipe.roles} - {"soup", "best"} == trained
            assert recipe.shipped in recipe.roles


@pytest.mark.parametrize(
    ("recipes", "flags", "message"),
    [
        ("conv_transformer", "--epochs 0", r"\.epochs: expected more than 0, found 0"),
        ("conv_transformer", "--batch-size 0", "batch_size: expected more than 0"),
        ("conv_transformer", "--seed -1", "seed: expected 0 or more"),
        ("conv_transformer", "--soup-epochs -1 --shipped soup", "soup_epochs: expected 0 or more"),
        ("conv_transformer", "--clip-norm -1", "clip_norm: expected 0 or more, found -1"),
        ("conv_transformer", "--length-window -2", "length_window: expected 0 or more"),
        ("conv_transformer", "--optimiser.lr -1e-3", r"optimiser\.lr: expected more than 0"),
        ("llama", "--max-len 0", r"llama\.max_len: expected more than 0, found 0"),
        ("conv_transformer", "--optimiser.lr nan", r"optimiser\.lr: expected more than 0"),
        ("conv_transformer", "--optimiser.betas 0.9 99", r"betas: expected a number from 0 to 1"),
        ("hand_bert", "--distil.temperature 0", r"distil\.temperature: expected more than 0"),
        ("frame_deberta", "--augment.flip.p 50", r"a\.augment\.flip\.p: .* from 0 to 1, found 50"),
        ("frame_deberta", "--loss.smoothing 2", r"loss\.smoothing: expected a number from 0 to 1"),
        ("frame_deberta", "--schedule.warmup 25", r"schedule\.warmup: expected a number from 0 to"),
        ("hand_bert", "--schedule.flat 45", r"1\.schedule\.flat: expected a number from 0 to 1"),
        ("conv_transformer", "awp:awp --awp.delta 0.2 --awp.start 15", r"awp\.start: .* from 0"),
        ("frame_deberta", "--loss.drop -3", r"loss\.drop: expected 0 or more, found -3"),
        ("frame_deberta", "--model.dropouts 0.1 0.1 1.5", r"model\.dropouts: .* from 0 to 1"),
        ("frame_deberta", "--mean-teacher.weight nan", "mean_teacher.weight: expected 0 or more"),
        ("conv_transformer", "--distil.weight -1", "distil.weight: expected 0 or more, found -1"),
        ("frame_deberta", "--loss.drop 32", r"drop: expected less than drop_per \(32\), found 32"),
        ("frame_deberta", "--augment.resize.high 0.5", r"low: expected at most high \(0\.5\)"),
        ("frame_deberta", "--soup-epochs 21", r"a\.soup_epochs: expected at most epochs \(20\)"),
        ("llama", "--model.depth 0", r"llama\.model\.depth: expected more than 0, found 0"),
        ("hand_bert", "--model.layers 0", r"hand_bert_1\.model\.layers: expected more than 0"),
        ("conv_transformer", "--name mine", "no solution has a recipe 'mine'"),
        ("conv_transformer", "--shipped soup", r"networks that it trains, student, found 'soup'"),
        ("hierarchical", "stop:none", "found 'best'; add --shipped student"),
        ("frame_deberta", "--soup-epochs 0", "found 'soup'; add --shipped distilled"),
        ("llama", "ema:none", "found 'ema'; add --shipped student"),
        ("frame_deberta", "stop:early-stopping --stop.patience 3", "no soup of its last epochs"),
        ("conv_transformer", "--no-ships", "found only conv_transformer, .* --no-ships out"),
        ("hand_bert_1,hand_bert_2", "", "only hand_bert_1, hand_bert_2, .* name .* hand_bert, or"),
        ("llama_ensemble", "--seed 5", "llama_1 and llama_2 to differ .* SEED instead"),
        ("frame_deberta", "--name conv_transformer", "different names"),
        ("hierarchical", "--clip.length.n-frames 64", "RuntimeError: .*--model.max-len"),
        ("conv_transformer", "--model.dim 100 --model.heads 8", "expected a clip to go through"),
        ("frame_deberta", "--model.dropouts 0.1", "expected a clip to go through"),
        ("conv_transformer", "--distil.teacher conv_transformer", "found itself; train it in"),
        ("hand_bert", "--start hand_bert_2", "hand_bert_1: start hand_bert_2: .* comes later"),
        ("hand_bert_2,hand_bert_1,hand_bert_3", "", "hand_bert_2: distil.teacher hand_bert_1"),
    ],
)  # fmt: skip
def test_what_would_be_trained_in_vain_is_refused(recipes, flags, message):
    with pytest.raises(InputError, match=message) as refused:
        overridden(choose(recipes, "sample"), flags)
    assert len(str(refused.value).splitlines()) == 1


def test_flags_behind_a_name_are_for_that_recipe_alone():
    """All flags, then those of the solution, then those of the recipe; the last word counts."""
    flags = (
        "--epochs 30 hand_bert_2: --epochs 50 llama: --epochs 90 mix:none hand_bert: --epochs 40"
    )
    before = choose("llama,hand_bert,conv_transformer", "sample")
    after = {recipe.name: recipe for recipe in overridden(before, flags)}
    epochs = {"llama": 90, "hand_bert_1": 40, "hand_bert_2": 50, "hand_bert_3": 40}
    assert {n: r.epochs for n, r in after.items()} == epochs | {"conv_transformer": 30}
    assert after["llama"].mix is None
    for recipe in before:  # nothing else has changed
        same = {"epochs": recipe.epochs, "mix": recipe.mix}
        assert replace(after[recipe.name], **same) == recipe


def test_a_warm_up_in_epochs_is_no_share():
    (changed, *_) = overridden(choose("hierarchical", "sample"), "--schedule.warmup 8")
    assert changed.schedule.warmup == 8.0


def test_flags_for_a_recipe_that_is_not_there_are_refused():
    message = "expected flags for some of llama, hand_bert, hand_bert_1, .* found 'pupil' before a"
    with pytest.raises(InputError, match=message):
        overridden(choose("llama,hand_bert", "sample"), "pupil: --epochs 3")


def test_a_teacher_that_comes_before_and_longer_clips_with_a_longer_network_pass():
    flags = "--distil.teacher logs/other/llama"
    assert len(overridden(choose("conv_transformer,hand_bert", "sample"), flags)) == 4
    overridden(choose("hierarchical", "sample"), "--clip.length.n-frames 64 --model.max-len 64")


@dataclass(frozen=True)
class Written:
    """An operation or network of somebody's: it does what a test says."""

    does: Callable

    def __call__(self, *given):
        return self.does(*given)

    def build(self, layout, classes) -> nn.Module:
        network = nn.Module()
        network.forward = self.does
        return network


@dataclass(frozen=True)
class Step(ClipPipeline):
    step: Written


@dataclass(frozen=True)
class Augment(AugmentationPipeline):
    augmentation: Written


@dataclass(frozen=True)
class Untyped(ClipPipeline):
    stride: Stride = Stride(16)
    standardise = Standardise()


class Undecorated(ClipPipeline):
    stride: Stride = Stride(16)


@dataclass(frozen=True, kw_only=True)
class UntypedRecipe(MeansRecipe):
    ema = Ema(decay=0.9)


def step(does) -> Recipe:
    return replace(MEANS, clip=Step(Written(does)))


def augmentation(does) -> Recipe:
    return replace(MEANS, augment=Augment(Written(does)))


def features(does) -> Recipe:
    return replace(MEANS, features=Written(does))


def network(does) -> Recipe:
    return replace(MEANS, model=Written(does))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (step(lambda xyz, _: xyz[:0]), r"clip: .*expected \(1, 42, 3\) .* found \(0, 42, 3\)"),
        (step(lambda xyz, _: xyz[:, :9]), r"clip: .*33,\s?9,\s?3"),
        (step(lambda xyz, _: xyz.numpy()), "clip: "),
        (step(lambda xyz, _: xyz.unflatten(0, (2, -1))), r"in .*test_checks\.py:\d+; mend tests"),
        (step(lambda xyz, layout: xyz[:, layout.row(1)]), r"no point of landmarks \(1,\) in"),
        (augmentation(lambda clips, *_: clips.xyz), "augment: "),
        (augmentation(lambda c, *_: c.with_(mask=c.mask[:, ::2])), "augment: "),
        (augmentation(lambda c, *_: c.with_(mask=c.mask & False)), "augment: .*found no frame"),
        (features(lambda xyz, *_: xyz), "features: .*expected a number where a point is missing"),
        (features(lambda xyz, mask, _: xyz.nan_to_num() * mask), "features: .*NoneType"),
        (network(lambda x, mask: {"logits": x * mask[..., None]}), "model: .*NoneType"),
        (network(lambda x, mask: {"logit": x}), r"model: .*found \['logit'\]"),
        (network(lambda x, mask: x), r"model: .*from the network, found Tensor"),
        (network(lambda x: {"logits": x}), "model: .*takes 1 positional arg"),
        (network(lambda x, mask: {"logits": torch.zeros(1, 3)}), r"\(1, 2\) .*found \(1, 3\)"),
        (replace(MEANS, clip=Untyped()), r"Untyped\.standardise: .* standardise: Standardise = "),
        (replace(MEANS, clip=Undecorated()), r"Undecorated\.stride: .*@dataclass over the class"),
        (UntypedRecipe(name="means"), r"UntypedRecipe\.ema: expected a field"),
    ],
)  # fmt: skip
def test_a_new_recipe_that_would_fail_in_training_is_refused_without_any_flag(
    recipe, message, monkeypatch
):
    new = Solution(source="", score="", cost="", full=(recipe,), cpu=(recipe,), sample=(recipe,))
    monkeypatch.setitem(SOLUTIONS, "means", new)
    with pytest.raises(InputError, match=message) as refused:
        overridden([recipe], "")
    assert str(refused.value).startswith("means") and "\n" not in str(refused.value)
