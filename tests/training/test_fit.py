"""The loop: it learns, it is exact, it goes on where it was stopped; kills: tests/faults."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from src.common.errors import InputError
from src.dataset.batches import ClipSet, plan
from src.losses import WithNextFrame, consistency
from src.models.blocks import LateDropout
from src.recipes import llama
from src.recipes.base import Recipe
from src.recipes.ingredients import EarlyStopping, Ema, MeanTeacher
from src.training.fit import SEEDS_APART, Task, fit
from src.training.loop import Loop
from src.training.roles import Trainee, consistency_weight
from tests.training.trained import (
    CONV_TRANSFORMER,
    FP32,
    ONE,
    assert_same_training,
    clips_of,
    history,
    stopped,
    weights,
)


@pytest.fixture(scope="module", params=["frame_deberta", "conv_transformer"])
def recipe(request, tiny_recipe) -> Recipe:
    return {"frame_deberta": tiny_recipe, "conv_transformer": CONV_TRANSFORMER}[request.param]


@pytest.fixture(scope="module")
def clips(recipe, tiny_clips) -> ClipSet:
    return clips_of(recipe.layout, tiny_clips.length)


@pytest.fixture(scope="module")
def unbroken(recipe, clips, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    fit(Task(recipe, clips, clips, 3, folder), FP32, ONE)
    return folder


def test_all_roles_learn(recipe, clips, tmp_path):
    longer = replace(recipe, epochs=30, loss=replace(recipe.loss, smoothing=0.1))
    fit(Task(longer, clips, clips, 3, tmp_path), FP32, ONE)
    last = history(tmp_path).iloc[-1]
    for role in {*recipe.roles} - {"soup"}:
        assert last[f"{role}_accuracy"] > 0.8, role  # a third would be chance


def test_members_that_differ_by_seed_alone_are_other_runs(tiny_recipe, tiny_clips, tmp_path):
    """And the same as those of a run whose seed is that far off, which no run of ours is."""
    short = replace(tiny_recipe, epochs=2)
    member, other = replace(short, seed=1), replace(FP32, seed=FP32.seed + SEEDS_APART)
    runs = {"first": (short, FP32), "second": (member, FP32), "far": (short, other)}
    for name, (recipe, settings) in runs.items():
        fit(Task(recipe, tiny_clips, None, 3, tmp_path / name), settings, ONE)
    first, second, far = (history(tmp_path / name) for name in runs)
    assert not np.allclose(first.student_loss, second.student_loss)
    pd.testing.assert_frame_equal(second, far, check_exact=True)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_the_same_seed_gives_the_same_bits_stopped_or_not(
    unbroken, recipe, clips, tmp_path, stop_after
):
    """Also before and after a perturbation and a late dropout begin, and within a Lookahead."""
    task = Task(recipe, clips, clips, 3, tmp_path)
    stopped(stop_after, lambda: fit(task, FP32, ONE))
    assert len(history(tmp_path)) == stop_after
    fit(task, FP32, ONE)
    assert_same_training(unbroken, tmp_path)


def test_no_clip_is_an_error(tiny_recipe, tiny_clips, tmp_path):
    nobody = tiny_clips.subset(np.array([], dtype=np.int64))
    with pytest.raises(InputError, match="expected clips to learn from, found none"):
        fit(Task(tiny_recipe, nobody, None, 3, tmp_path), FP32, ONE)


def test_the_soup_is_the_mean_of_the_last_epochs(tiny_recipe, tiny_clips, tmp_path, monkeypatch):
    kept, whole_epoch = [], Loop.epoch

    def keeping(self, train, epoch):
        record = whole_epoch(self, train, epoch)
        kept.append({k: v.clone() for k, v in self.trainee.leader.state_dict().items()})
        return record

    monkeypatch.setattr(Loop, "epoch", keeping)
    fit(Task(tiny_recipe, tiny_clips, None, 3, tmp_path), FP32, ONE)
    for name, value in weights(tmp_path, "soup").items():
        if value.is_floating_point():
            expected = (kept[-1][name].double() + kept[-2][name].double()) / 2
            # One float32 rounding of the running mean.
            torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("role", ["teacher", "ema"])
def test_an_average_follows_the_student_after_every_step(tiny_recipe, tiny_clips, role):
    """recognition.md 2.5 for the EMA, statistics too; the teacher keeps statistics of its own."""
    recipe = tiny_recipe
    if role == "ema":
        recipe = replace(tiny_recipe, mean_teacher=None, distilled=None, ema=Ema(0.9999))
    torch.manual_seed(0)
    trainee = Trainee(recipe, 3)
    loop = Loop(recipe, trainee, FP32, ONE)
    student, average = trainee.models["student"], trainee.models[role]
    followed = dict(average.named_parameters()) if role == "teacher" else average.state_dict()
    expected = {name: value.clone() for name, value in followed.items()}
    planned = list(plan(tiny_clips.length, 8, np.random.default_rng(0)))
    trainee.train()
    for n, batch in enumerate(loop.batches(tiny_clips, planned, 0)):
        loop.step(batch, n)
        decay = min(1 - 1 / (n + 1), 0.97) if role == "teacher" else min(0.9999, (1 + n) / (10 + n))
        for name, old in expected.items():
            new = student.state_dict()[name]
            floats = new.is_floating_point()
            expected[name] = decay * old + (1 - decay) * new if floats else new.clone()
    # The closed form adds the same numbers in another order.
    torch.testing.assert_close(dict(followed), expected, rtol=1e-5, atol=1e-6)
    norms = [name for name, _ in student.named_buffers() if "running_mean" in name]
    assert norms and (role == "teacher" or {*norms} <= {*expected})
    if role == "teacher":
        for name in norms:
            assert not torch.equal(student.get_buffer(name), average.get_buffer(name))


def test_consistency_ramps_up(tiny_recipe):
    teacher = tiny_recipe.mean_teacher
    expected = {0.0: 5 * np.exp(-5), 0.125: 5 * np.exp(-5 / 4), 0.25: 5.0, 1.0: 5.0}
    for progress, weight in expected.items():
        assert float(consistency_weight(teacher, torch.tensor(progress))) == pytest.approx(weight)
    at_once = replace(teacher, ramp=0.0)
    assert [float(consistency_weight(at_once, torch.tensor(p))) for p in (0.0, 1.0)] == [5.0, 5.0]


def test_all_that_is_run_in_training_knows_how_far_it_is(tiny_clips):
    """A teacher has its late dropout when its student has."""
    recipe = replace(CONV_TRANSFORMER, mean_teacher=MeanTeacher(), epochs=2)
    trainee = Trainee(recipe, 3)
    loop = Loop(recipe, trainee, FP32, ONE)
    clips = clips_of(recipe.layout, tiny_clips.length)
    for epoch, begun in ((0, False), (1, True)):
        loop.step(next(loop.batches(clips, [np.arange(8)], epoch)), epoch)
        layers = [module for module in trainee.modules() if isinstance(module, LateDropout)]
        assert [layer.begun for layer in layers] == [begun, begun]


def test_a_training_that_stops_before_its_last_epochs_has_no_soup(
    tiny_recipe, tiny_clips, tmp_path
):
    """It would be the weights before the first step."""
    still = replace(tiny_recipe, optimiser=replace(tiny_recipe.optimiser, lr=0.0), epochs=9)
    stopping = replace(still, stop=EarlyStopping(1))
    trained = fit(Task(stopping, tiny_clips, tiny_clips, 3, tmp_path), FP32, ONE)
    assert len(history(tmp_path)) < 7
    assert "soup" not in trained.networks and not (tmp_path / "soup.pt").exists()


def test_every_model_sees_its_own_view_and_is_pulled_to_the_teachers_answers(
    tiny_recipe, tiny_clips
):
    trainee = Trainee(tiny_recipe, 3).eval()
    loop = Loop(tiny_recipe, trainee, FP32, ONE)
    batch = next(loop.batches(tiny_clips, [np.arange(8)], 0))
    views, target, _ = trainee.views(batch.clips, batch.draw)
    student, teacher, distilled = (views[role].features for role in views)
    assert not torch.equal(student, teacher)
    assert not torch.equal(student, distilled)

    torch.nn.init.normal_(trainee.models["teacher"].classifier.weight)  # it is of another opinion
    end = torch.tensor(1.0)  # of the training
    outs = {role: trainee.models[role](*view.inputs) for role, view in views.items()}
    for role, loss in trainee(views, target, end).items():
        own = tiny_recipe.loss(outs[role], target, end)
        pull = consistency(outs[role]["logits"], outs["teacher"]["logits"])
        assert pull > 0.01
        torch.testing.assert_close(loss, own + 5 * pull)


def test_a_training_that_diverges_ends_before_its_weights_are_kept(
    tiny_recipe, tiny_clips, tmp_path
):
    wild = replace(tiny_recipe, optimiser=replace(tiny_recipe.optimiser, lr=1e30))
    said = r"epoch 1: expected finite numbers in the student's .* now --optimiser.lr 1e\+30"
    with pytest.raises(InputError, match=said):
        fit(Task(wild, tiny_clips, tiny_clips, 3, tmp_path), FP32, ONE)
    assert not [*tmp_path.glob("*.pt")]


def test_the_history_has_the_schedules_rate_where_lower_layers_have_less(
    tiny_recipe, tiny_clips, tmp_path
):
    optimiser = replace(tiny_recipe.optimiser, layer_decay=0.5)
    for name, each in (("same", tiny_recipe), ("less", replace(tiny_recipe, optimiser=optimiser))):
        fit(Task(replace(each, epochs=2), tiny_clips, None, 3, tmp_path / name), FP32, ONE)
    same, less = (history(tmp_path / name).rate.tolist() for name in ("same", "less"))
    assert less == same


class _NoLoss(WithNextFrame):
    def __call__(self, out, target, progress):
        return super().__call__(out, target, progress) * torch.nan


@pytest.mark.parametrize(("precision", "steps"), [("fp32", 1), ("fp16", 17)])
def test_a_loss_that_is_no_number_ends_the_training_where_the_weights_do_not_show_it(
    tmp_path, precision, steps
):
    """Lion moves weights by a sign, and that of NaN is a number. fp16 leaves the weights alone."""
    small = replace(llama.SINGLE.model, heads=1, depth=1, hidden=8, head_dim=8)
    recipe = replace(llama.SINGLE, model=small, loss=_NoLoss(), epochs=1, steps=steps, batch_size=4)
    clips = clips_of(recipe.layout, np.array([2, 3, 4, 5, 6, 7]))
    with pytest.raises(InputError, match="expected finite numbers in the student's loss"):
        fit(Task(recipe, clips, clips, 3, tmp_path), replace(FP32, precision=precision), ONE)


@pytest.mark.parametrize(("tests", "tested"), [(0, [4]), (3, [2, 3, 4]), (9, [1, 2, 3, 4])])
def test_there_are_as_many_tests_as_asked_for(tiny_recipe, tiny_clips, tmp_path, tests, tested):
    """Of a training of four epochs; 3 used to give 4."""
    task = Task(tiny_recipe, tiny_clips, tiny_clips, 3, tmp_path)
    fit(task, replace(FP32, tests=tests), ONE)
    assert history(tmp_path).dropna(subset="student_accuracy").epoch.tolist() == tested


@pytest.mark.parametrize("asked", [10, 12])
def test_micro_batches_are_large_enough_for_a_clip_to_be_left_out(
    tiny_recipe, tiny_clips, tmp_path, asked
):
    """Parts of like size: a batch of 16 in parts of up to 12 is two of 8."""
    ousm = replace(tiny_recipe, batch_size=16)
    task = Task(ousm, tiny_clips, tiny_clips, 3, tmp_path)
    said = rf"^MICRO_BATCH: expected parts of at least 11 clips, .* found {asked}, .* parts of 8;"
    with pytest.raises(InputError, match=said):
        fit(task, replace(FP32, micro_batch=asked), ONE)


@pytest.mark.parametrize(("batch_size", "said"), [(8, True), (16, False)])
def test_a_batch_too_small_for_a_clip_to_be_left_out_is_said(
    tiny_recipe, tiny_clips, tmp_path, capsys, batch_size, said
):
    recipe = replace(tiny_recipe, batch_size=batch_size, epochs=1)
    fit(Task(recipe, tiny_clips, None, 3, tmp_path), FP32, ONE)
    assert ("but here it takes only 8 clips at once" in capsys.readouterr().out) == said
