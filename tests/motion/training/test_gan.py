from dataclasses import replace

import pandas as pd
import pytest
import torch

from src.motion.body.pose_space import Normaliser
from src.motion.models import transformer
from src.motion.training.gan import Config, Critic, Gan, GanLoop, GanTraining, emd
from src.motion.training.optimisers import RmsProp, Sgd
from src.motion.training.task import forecasts
from tests.motion.training.test_loop import killed_after, weights

SMALL = Config(
    generator=transformer.Config(hidden=16, heads=2, window=8, target=5, lstm_decoder=True,
                                 dropout=0.0)
)  # fmt: skip
J, M = 4, 3
TRAINING = GanTraining(optimiser=RmsProp(lr=1e-3))


def gan_of(config=SMALL, **changes):
    torch.manual_seed(0)
    normaliser = Normaliser(torch.zeros(J, M), torch.ones(J, M))
    return Gan(config, replace(TRAINING, **changes), normaliser)


def frames(batch=6):
    return torch.randn(batch, 13, J, M)


def test_emd_is_zero_for_equals_and_grows_with_the_distance_mass_is_moved():
    p = torch.zeros(2, 5)
    p[:, 0] = 1
    distances = [emd(p, p.roll(k, 1)).item() for k in range(4)]
    assert distances[0] == 0
    assert distances == pytest.approx([0, 1 / 5, 2 / 5, 3 / 5])  # a place is one of five sums
    assert emd(p, p + 0.1).item() == pytest.approx(0.01 * (1 + 4 + 9 + 16 + 25) / 5)


def test_the_critic_gives_a_probability_per_joint_from_one_decoder_step():
    critic = Critic(SMALL.generator, J, M, 5).eval()
    x, seed = torch.randn(2, 5, J, M), torch.rand(2, J)
    last = critic.encoder(critic.embedding(x.flatten(2)))[None, :, -1]
    out, _ = critic.lstm(seed[:, None], (last, last))
    expected = torch.sigmoid(critic.project(out[:, 0]))
    assert torch.allclose(critic(x, seed), expected)
    assert ((expected > 0) & (expected < 1)).all() and expected.shape == (2, J)


@pytest.mark.parametrize("sees,length", [("target", 5), ("whole", 13)])
def test_the_critic_sees_the_target_or_the_whole(sees, length):
    gan = gan_of(replace(SMALL, critic_sees=sees))
    seen = []
    gan.critic.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    window = frames()
    gan.judge(window[:, :8], window[:, 8:], 1.0)
    assert torch.equal(seen[0], window[:, -length:])


def test_the_critic_step_ascends_the_emd():
    gan = gan_of(clipped="update", clip=1.0, optimiser=Sgd(lr=0.05))
    window = frames(32)
    distances = [gan.critic_step(window) for _ in range(30)]
    assert distances[-1] > distances[0]


def test_weight_clipping_bounds_the_critic_and_spares_the_generator():
    gan = gan_of(clip=0.01)
    generator = weights(gan.generator)
    assert weights(gan.critic).abs().max() > 0.01
    gan.critic_step(frames())
    assert weights(gan.critic).abs().max() <= 0.01
    assert torch.equal(weights(gan.generator), generator)


def test_update_clipping_bounds_the_change_only():
    """Algorithm 1, line 6."""
    gan = gan_of(clipped="update", clip=1e-4, optimiser=RmsProp(lr=0.1))
    before = weights(gan.critic)
    gan.critic_step(frames())
    assert (weights(gan.critic) - before).abs().max().item() == pytest.approx(1e-4, rel=1e-2)
    assert weights(gan.critic).abs().max() > 0.01


@pytest.mark.parametrize("loss", ["adversarial", "mse", "sum"])
def test_the_generator_descends_what_it_is_told_to(loss):
    gan = gan_of(generator_loss=loss, optimiser=Sgd(lr=0.05))
    window = frames(32)
    seed, target = window[:, :8], window[:, 8:]

    def measured():
        with torch.no_grad():
            made = gan.generator.next_frames(seed)
            fooled = (gan.judge(seed, made, 0.0) - 1).square().mean()
            off = (made - target).square().mean()
        return {"adversarial": fooled, "mse": off, "sum": fooled + off}[loss].item()

    critic = weights(gan.critic)
    before = measured()
    for _ in range(20):
        gan.generator_step(window, pretraining=False)
    assert measured() < before
    assert torch.equal(weights(gan.critic), critic)


def test_pretraining_is_by_mean_square_whatever_the_loss():
    one, other = gan_of(generator_loss="mse"), gan_of(generator_loss="adversarial")
    window = frames()
    one.generator_step(window, pretraining=False)
    other.generator_step(window, pretraining=True)
    assert torch.equal(weights(one.generator), weights(other.generator))


def test_smoothness_is_the_documents_equation_2():
    """(sum_t |y_t - y_(t-1)|^2)^(1/2): with a huge weight the generator comes to a halt."""
    gan = gan_of(generator_loss="mse", smoothness=100.0, optimiser=RmsProp(lr=3e-3))
    window = frames(16)

    def speed():
        made = gan.generator.next_frames(window[:, :8])
        return torch.cat([window[:, 7:8], made], 1).diff(dim=1).abs().mean().item()

    before = speed()
    for _ in range(60):
        gan.generator_step(window, pretraining=False)
    assert speed() < 0.7 * before


def test_a_critic_told_the_truth_copies_it_and_knows_nothing_without():
    """The warning of motion.md, section 5. The critic's encoder is made blind."""
    gan = gan_of(clipped="update", clip=1.0, optimiser=RmsProp(lr=1e-2))
    gan.critic.encoder.register_forward_hook(lambda module, given, out: out * 0)
    window = frames(64)
    for _ in range(60):
        gan.critic_step(window)
    seed, target = window[:, :8], window[:, 8:]
    made = gan.generator.next_frames(seed).detach()
    told = emd(gan.judge(seed, target, 1.0), gan.judge(seed, made, 0.0)).item()
    blind = (gan.judge(seed, frames, None).mean(0, True) for frames in (target, made))
    assert told > 1 and emd(*blind).item() < 0.1 * told


OF_BODIES = Config(
    generator=transformer.Config(hidden=16, heads=2, window=10, lstm_decoder=True, residual=True)
)


SMALL_STEPS = {"steps": 6, "critic_steps": 2, "validate_every": 2, "optimiser": RmsProp(lr=1e-3)}


def trained(task, folder, **changes):
    """A generator that was pretrained for half of the steps, and its history."""
    torch.manual_seed(0)
    training = GanTraining(batch=4, sampling="uniform", pretraining=0.5, seed=0, **changes)
    gan = Gan(OF_BODIES, training, task.space.normaliser)
    return gan.generator, GanLoop(gan, task).run(folder)


def test_training_keeps_the_best_generator_and_both_curves(task, tmp_path):
    _, history = trained(task, tmp_path, **SMALL_STEPS)
    columns = "step pretraining critic_emd generator_mse joint_angle seconds"
    assert list(history.columns) == columns.split()
    assert history.step.tolist() == [2, 4, 6]
    assert history.pretraining.tolist() == [True, False, False]
    assert history.critic_emd.isna().tolist() == [True, False, False]
    assert history.drop(columns="critic_emd").notna().all(axis=None)
    assert (tmp_path / "best.pt").is_file()


@pytest.mark.parametrize("validations", [1, 2, 3], ids=["pretrained", "half-way", "at the end"])
def test_a_broken_off_training_goes_on_as_if_nothing_had_happened(
    task, tmp_path, monkeypatch, validations
):
    straight, whole = trained(task, tmp_path / "whole", **SMALL_STEPS)
    with killed_after(validations, monkeypatch):
        trained(task, tmp_path / "broken", **SMALL_STEPS)
    again, resumed = trained(task, tmp_path / "broken", **SMALL_STEPS)
    assert torch.equal(weights(again), weights(straight))
    columns = ["step", "pretraining", "critic_emd", "generator_mse", "joint_angle"]
    pd.testing.assert_frame_equal(whole[columns], resumed[columns])
    assert not (tmp_path / "broken" / "last.pt").exists()


def test_the_chosen_weights_are_never_those_of_the_pretraining(task, tmp_path):
    """A critic that only spoils the forecasts: the best of its steps counts all the same."""
    small = {"steps": 8, "critic_steps": 1, "validate_every": 1, "optimiser": RmsProp(lr=1e-2)}
    generator, history = trained(task, tmp_path, **small)
    judged = history[~history.pretraining]
    assert history.joint_angle.min() < judged.joint_angle.min()
    made = forecasts(generator, task.valid[:, : task.seed], task.target)
    assert task.score(made) == pytest.approx(judged.joint_angle.min(), rel=1e-5)
