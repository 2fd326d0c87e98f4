"""What flags can break is refused before anything is trained, in one line that says what to do."""

from __future__ import annotations

import pytest

from src.common.errors import InputError
from src.recipes import SOLUTIONS, choose
from src.recipes.checks import overridden
from src.recipes.profiles import PROFILES
from src.training.roles import Trainee


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
        ("conv_transformer", "--optimiser.lr nan", r"optimiser\.lr: expected more than 0"),
        ("conv_transformer", "--optimiser.betas 0.9 99", r"betas: expected a number from 0 to 1"),
        ("hand_bert", "--distil.temperature 0", r"distil\.temperature: expected more than 0"),
        ("frame_deberta", "--augment.flip.p 50", r"a\.augment\.flip\.p: .* from 0 to 1, found 50"),
        ("frame_deberta", "--loss.smoothing 2", r"loss\.smoothing: expected a number from 0 to 1"),
        ("frame_deberta", "--loss.drop -3", r"loss\.drop: expected 0 or more, found -3"),
        ("frame_deberta", "--model.dropouts 0.1 0.1 1.5", r"model\.dropouts: .* from 0 to 1"),
        ("conv_transformer", "--name mine", "no solution has a recipe 'mine'"),
        ("conv_transformer", "--shipped soup", r"networks that it trains, student, found 'soup'"),
        ("hierarchical", "stop:none", "found 'best'; add --shipped student"),
        ("frame_deberta", "--soup-epochs 0", "found 'soup'; add --shipped distilled"),
        ("llama", "ema:none", "found 'ema'; add --shipped student"),
        ("frame_deberta", "stop:early-stopping --stop.patience 3", "no soup of its last epochs"),
        ("conv_transformer", "--no-ships", "found that none ships"),
        ("llama_ensemble", "--seed 5", "llama_1 and llama_2 to differ .* SEED instead"),
        ("frame_deberta", "--name conv_transformer", "different names"),
        ("hierarchical", "--clip.length.n-frames 64", "RuntimeError: .*--model.max-len"),
        ("conv_transformer", "--model.dim 100 --model.heads 8", "a clip does not go through them"),
        ("frame_deberta", "--model.dropouts 0.1", "a clip does not go through them"),
        ("conv_transformer", "--distil.teacher conv_transformer", "found itself; train it in"),
        ("hand_bert", "--start hand_bert_2", "hand_bert_1: start hand_bert_2: .* comes later"),
        ("hand_bert_2,hand_bert_1,hand_bert_3", "", "hand_bert_2: distil.teacher hand_bert_1"),
    ],
)  # fmt: skip
def test_what_would_be_trained_in_vain_is_refused(recipes, flags, message):
    with pytest.raises(InputError, match=message) as refused:
        overridden(choose(recipes, "sample"), flags)
    assert len(str(refused.value).splitlines()) == 1


def test_a_teacher_that_comes_before_and_longer_clips_with_a_longer_network_pass():
    flags = "--distil.teacher logs/other/llama"
    assert len(overridden(choose("conv_transformer,hand_bert", "sample"), flags)) == 4
    overridden(choose("hierarchical", "sample"), "--clip.length.n-frames 64 --model.max-len 64")
