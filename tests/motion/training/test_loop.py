"""The loop: what is clipped, validated, saved and resumed, and that a network learns by it."""

from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest
import torch

from src.common import checkpoint
from src.common.errors import InputError
from src.motion.body.pose_space import MOTION_TRANSFORMER, Scaling
from src.motion.data.corpus import prepare
from src.motion.metrics import frame_errors
from src.motion.models import build, seq2seq, st_transformer
from src.motion.study.bars import zero_velocity
from src.motion.training.loop import Loop, Training
from src.motion.training.losses import JointNorm
from src.motion.training.optimisers import Sgd
from src.motion.training.task import forecasts, pose_task
from src.recipes.ingredients import AdamW, Cosine, OnPlateau

TINY = st_transformer.Config(
    width=16, feed_forward=32, heads=2, layers=1, window=10, frames_per_step=8, start_still=True
)
CONSTANT = Cosine(floor=1.0)
QUICK = Training(
    steps=12, batch=4, sampling="uniform", optimiser=AdamW(lr=3e-3), schedule=CONSTANT,
    validate_every=4, seed=0,
)  # fmt: skip
LEARNING = replace(QUICK, loss=JointNorm("raw"), schedule=Cosine(floor=0.01), warmup=10)


def network(task, config=TINY):
    torch.manual_seed(0)
    return build(config, task.space.normaliser)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_defect_c_gradients_are_clipped_before_the_step(task):
    """fairmotion clips after it: then the first step is as long as the gradient is."""
    rate, bound = 0.1, 1e-3

    def moved(clip_norm):
        model = network(task, replace(TINY, start_still=False)).train()
        before = weights(model)
        Loop(model, task, replace(QUICK, optimiser=Sgd(lr=rate), clip_norm=clip_norm)).one_step()
        return (weights(model) - before).norm().item()

    assert moved(bound) == pytest.approx(rate * bound, rel=1e-3)
    assert moved(0.0) > 100 * rate * bound


# --- validation ---------------------------------------------------------------------------------


def scripted(task, scores):
    """The task with scores that are given in advance."""
    given = iter(scores)
    return replace(task, score=lambda _: next(given))


def test_defect_f_every_validation_may_be_the_best(task, tmp_path):
    """fairmotion looks at every fifth epoch only; here the second of three is best."""
    validated = {}

    class Recording(Loop):
        def validate(self):
            super().validate()
            validated[self.step] = weights(self.averaged)

    model = network(task)
    history = Recording(model, scripted(task, [3.0, 1.0, 2.0]), QUICK).run(tmp_path)
    assert history.joint_angle.tolist() == [3, 1, 2] and history.step.tolist() == [4, 8, 12]
    assert torch.equal(weights(model), validated[8])


def test_a_training_without_any_finite_forecast_is_refused(task, tmp_path):
    """Its weights would be those that it began with, and its score a NaN."""
    known = scripted(task, [float("nan"), float("inf"), float("nan")])
    with pytest.raises(InputError, match=r"t: expected finite forecasts .* none in 3; lower the"):
        Loop(network(task), known, QUICK).run(tmp_path / "t")
    assert not (tmp_path / "t" / "best.pt").exists()


def test_training_stops_when_improvements_stay_below_a_percent(task, tmp_path):
    """0.996^3 = 0.988: every third validation is an improvement of a percent."""
    config = replace(QUICK, steps=100, patience=3, validate_every=2)
    falling, flat = [0.996**n for n in range(50)], [1.0] + [0.9999] * 50
    for name, scores, validations in (("falling", falling, 50), ("flat", flat, 4)):
        history = Loop(network(task), scripted(task, scores), config).run(tmp_path / name)
        assert len(history) == validations  # of the flat ones, the first and three in vain


def test_train_and_validation_losses_are_the_same_mean(task, tmp_path):
    """fairmotion's curves could not be compared: one was per batch, one per sequence."""
    everything = replace(
        task, train=tuple(task.valid), valid=task.valid[:, : TINY.window + 8], seed=TINY.window,
        valid_truth=task.valid[:, : TINY.window + 8], score=lambda _: 1.0,
    )  # fmt: skip
    config = replace(QUICK, optimiser=Sgd(lr=0.0), steps=60, validate_every=60, batch=16)
    history = Loop(network(task), everything, config).run(tmp_path)
    row = history.iloc[-1]
    assert row.train_loss == pytest.approx(row.valid_loss, rel=0.25)  # other windows, same units


def test_mean_squares_in_the_history_are_those_of_the_forecasts(task, tmp_path):
    model = network(task)
    history = Loop(model, task, replace(QUICK, steps=4)).run(tmp_path)
    made = forecasts(model, task.valid[:, :120], 24)
    expected = (made - task.valid[:, 120:]).square().mean().item()
    assert history.valid_mse.iloc[-1] == pytest.approx(expected, rel=1e-5)
    assert history.joint_angle.iloc[-1] == pytest.approx(task.score(made))


def test_a_loss_that_is_no_number_ends_the_training_with_advice(task, tmp_path):
    broken = replace(task, train=tuple(clip * 1e38 for clip in task.train))
    with pytest.raises(InputError, match=r"training loss is (nan|inf) at step 4: the rate is too"):
        Loop(network(task), broken, QUICK).run(tmp_path)


def test_the_rate_rises_over_the_warmup_and_falls_on_a_plateau(task, tmp_path):
    known = scripted(task, [2.0, 1.0, 1.5, 1.0, 3.0])
    schedule = OnPlateau(factor=0.5, patience=1)
    config = replace(QUICK, steps=5, validate_every=1, schedule=schedule, warmup=2)
    history = Loop(network(task), known, config).run(tmp_path)
    assert history.rate.to_numpy() / 3e-3 == pytest.approx([0.5, 1, 1, 1, 0.5])


# --- exactness ----------------------------------------------------------------------------------


@contextmanager
def killed_after(validations, monkeypatch):
    """End what is trained inside just after the state of so many validations is written."""
    save = checkpoint.save

    def killed(path, state):
        save(path, state)
        if path.name == "last.pt" and len(state["rows"]) == validations:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "save", killed)
        yield


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("validations", [2, 3], ids=["half-way", "before the last table"])
def test_a_broken_off_training_goes_on_as_if_nothing_had_happened(
    task, tmp_path, monkeypatch, average, validations
):
    config = replace(QUICK, average=average, schedule=Cosine(floor=0.01), warmup=3)
    straight = network(task)
    whole = Loop(straight, task, config).run(tmp_path / "whole")
    with killed_after(validations, monkeypatch):
        Loop(network(task), task, config).run(tmp_path / "broken")
    again = network(task)
    resumed = Loop(again, task, config).run(tmp_path / "broken")
    assert torch.equal(weights(again), weights(straight))
    same = [c for c in whole if c != "seconds"]
    pd.testing.assert_frame_equal(whole[same], resumed[same])
    assert not (tmp_path / "broken" / "last.pt").exists()
    on_disk = pd.read_csv(tmp_path / "broken" / "history.csv")
    assert on_disk.step.tolist() == [4, 8, 12]


@pytest.fixture
def state(task) -> dict:
    """As it is after the first validation of three."""
    loop = Loop(network(task), task, QUICK)
    loop.until_validation()
    loop.validate()
    return loop.state_dict()


@pytest.mark.parametrize(
    "wrong", ["model", "best", "optimiser", "plateau", "counters", "rows", "made_from"]
)
@pytest.mark.parametrize("how", ["missing", "text"])
def test_a_state_with_parts_missing_or_foreign_is_refused(task, tmp_path, state, wrong, how):
    state = {key: value for key, value in state.items() if key != wrong}
    if how == "text":
        state[wrong] = "not this"
    checkpoint.save(tmp_path / "last.pt", state)
    with pytest.raises(InputError, match=rf"last\.pt: expected the state .*{wrong}.*delete it"):
        Loop(network(task), task, QUICK).run(tmp_path)


def test_a_state_of_another_training_or_network_is_refused(task, tmp_path, state):
    checkpoint.save(tmp_path / "last.pt", state)
    with pytest.raises(InputError, match=r"last\.pt: .*training\.seed 0 -> 1; delete it"):
        Loop(network(task), task, replace(QUICK, seed=1)).run(tmp_path)
    for other in ({"train": task.train[1:]}, {"valid_truth": task.valid * 1.01}):
        with pytest.raises(InputError, match=r"last\.pt: .*of other values: clips changed"):
            Loop(network(task), replace(task, **other), QUICK).run(tmp_path)
    with pytest.raises(InputError, match=r"last\.pt: .*a tensor of shape"):
        Loop(network(task, replace(TINY, width=8)), task, QUICK).run(tmp_path)


def test_the_same_seed_gives_the_same_weights_and_another_others(task, tmp_path):
    made = []
    for n, seed in enumerate((0, 0, 1)):
        model = network(task)
        Loop(model, task, replace(QUICK, seed=seed)).run(tmp_path / str(n))
        made.append(weights(model))
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_a_bound_in_seconds_ends_it(task, tmp_path):
    history = Loop(network(task), task, replace(QUICK, steps=10**9, seconds=0.5)).run(tmp_path)
    assert 0.5 <= history.seconds.iloc[-1] < 10


def test_the_average_trails_the_weights(task):
    model = network(task)
    loop = Loop(model, task, replace(QUICK, average=0.9))
    start = weights(model)
    loop.until_validation()
    moved = (weights(model) - start).norm()
    assert 0 < (weights(loop.averaged) - start).norm() < moved
    assert loop.averaged is not model


@pytest.mark.parametrize("family", ["st", "seq2seq"])
def test_one_clip_of_144_frames_is_learned_by_heart(data, task, tmp_path, family):
    """To a third of zero velocity's error on the window it was trained on."""
    windows, truths = data.test, data.test_truth
    held = zero_velocity(data.space.decode(windows[:, 119:120]), 24)
    liveliest = (held - truths).flatten(1).norm(dim=1).argmax()  # some hardly move at all
    window, truth = windows[liveliest][None], truths[liveliest][None]

    def score(made):
        return frame_errors(data.space.decode(made), truth).joint_angle.sum().item()

    alone = replace(task, train=(window[0],), valid=window, valid_truth=window, score=score)
    config = {
        "st": replace(TINY, window=20, frames_per_step=24, dropout=0.0),
        "seq2seq": seq2seq.Config(hidden=48, residual=True, window=20),
    }[family]
    quick = replace(LEARNING, steps=150, batch=8, optimiser=AdamW(lr=1e-2), validate_every=50)
    history = Loop(network(alone, config), alone, quick).run(tmp_path)
    still = score(zero_velocity(window[:, :120], 24))
    assert history.joint_angle.min() < still / 3


@pytest.mark.slow
@pytest.mark.reference
def test_a_tiny_transformer_beats_zero_velocity_on_real_motion(dip_corpus, tmp_path):
    """motion.md, section 13: by joint angle, at every horizon from 100 to 400 ms."""
    data = prepare(dip_corpus, MOTION_TRANSFORMER, Scaling())
    task = pose_task(data)
    config = replace(TINY, width=24, feed_forward=48, window=20, frames_per_step=24, dropout=0.0)
    quick = replace(LEARNING, steps=120, batch=16, validate_every=60, average=0.9)
    model = network(task, config)
    Loop(model, task, quick).run(tmp_path)
    seeds = data.test[:, :120]
    made = frame_errors(data.space.decode(forecasts(model, seeds, 24)), data.test_truth)
    held = frame_errors(data.space.decode(zero_velocity(seeds, 24)), data.test_truth)
    assert (made.table().loc["joint_angle"] < held.table().loc["joint_angle"]).all()
