"""The spatio-temporal transformer against a loop over joints, its studies, and what is causal."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.motion.body.pose_space import Normaliser
from src.motion.body.skeleton import ADJACENCY
from src.motion.models import build
from src.motion.models.forecaster import parameter_count
from src.motion.models.positions import sinusoids
from src.motion.models.st_transformer import Config, StTransformer
from src.motion.study.experiments import PROFILES, PUBLISHED, resized
from src.motion.study.studies import STUDIES
from tests.motion.models.loop_model import LoopModel

SIZE = {"width": 16, "feed_forward": 24, "heads": 4, "layers": 2, "window": 12, "dropout": 0.0}
SMALL = Config(**SIZE)
JOINTS, CHANNELS = 15, 9


def model_of(config=SMALL, scale=1.0):
    return StTransformer(config, torch.full((JOINTS, CHANNELS), scale))


def frames(length=12, batch=2):
    return torch.randn(batch, length, JOINTS, CHANNELS)


@pytest.mark.parametrize("study", STUDIES, ids=lambda s: s.name)
def test_every_study_at_full_size_has_its_derived_parameter_count(study):
    """motion.md, section 3; 14's is that of its Reading, 30 % above the base."""
    with torch.device("meta"):
        scale = torch.ones(JOINTS, CHANNELS)
        network = build(study.model, Normaliser(scale, scale))
    assert parameter_count(network) == study.parameters


def test_the_batched_products_are_a_loop_over_joints():
    model = model_of()
    for parameter in model.parameters():  # no bias of zero hides a mistake
        nn.init.normal_(parameter, std=0.3)
    loop = LoopModel(JOINTS, CHANNELS, SMALL, sinusoids(12, 16)).copy_from(model)
    x = frames()
    # float32: sums over 16 to 24 products through two layers
    assert torch.allclose(model(x)[:, :, 0], loop(x), atol=1e-5)


def test_sample_norm_takes_its_moments_over_frames_and_joints():
    model = model_of(replace(SMALL, norm="sample"))
    x = torch.randn(JOINTS, 2, 5, 16)
    norm = model.layers[0].norms[0]
    norm.weight.data.uniform_(0.5, 2)
    sample = x[:, 1]
    expected = (sample - sample.mean()) / sample.std(correction=0) * norm.weight + norm.bias
    assert torch.allclose(norm(x)[:, 1], expected, atol=1e-4)


def test_glorot_bounds_are_those_of_one_map_not_of_the_fused_three():
    weight = model_of().layers[0].attentions[0].query_key_value.weight
    bound = (6 / (16 + 16)) ** 0.5
    assert 0.97 * bound < weight.abs().max() <= bound


CAUSAL = [s for s in STUDIES if isinstance(s.model, Config)]


def answers(model, place):
    """What a network says of some frames, and of the same ones with something added there."""
    x = frames()
    changed = x.clone()
    changed[place] += 1
    return model(x), model(changed)


@pytest.mark.parametrize("study", CAUSAL, ids=lambda s: s.name)
def test_a_later_frame_changes_no_earlier_output_with_token_norm(study):
    model = model_of(replace(study.model, norm="token", **SIZE)).eval()
    one, other = answers(model, np.s_[:, 7])
    assert torch.equal(one[:, :7], other[:, :7])
    assert not torch.allclose(one[:, 7], other[:, 7])
    if "time" in "".join(study.model.blocks):
        assert not torch.allclose(one[:, 8:], other[:, 8:])


def test_no_time_block_no_memory():
    """Study 10 sees one frame only: what came before changes nothing."""
    model = model_of(replace(PUBLISHED["10-no-time"].model, **SIZE)).eval()
    one, other = answers(model, np.s_[:, :11])
    assert torch.allclose(one[:, 11], other[:, 11], atol=1e-6)


def test_no_space_block_no_word_between_joints():
    """Study 11: another joint's motion changes nothing."""
    model = model_of(replace(PUBLISHED["11-no-space"].model, **SIZE)).eval()
    others = [j for j in range(JOINTS) if j != 3]
    one, other = answers(model, np.s_[:, :, 3])
    assert torch.equal(one[..., others, :], other[..., others, :])


def test_sinusoids_are_the_papers():
    angles = np.arange(50)[:, None] * 10000 ** (-2 * np.arange(4) / 8)
    expected = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(50, 8)
    assert np.allclose(sinusoids(50, 8), expected, atol=1e-6)


def test_without_positions_the_same_frame_twice_looks_the_same():
    """Study 12: a constant window gives the same output at every position."""
    x = frames(1).expand(-1, 12, -1, -1)
    without = model_of(replace(SMALL, positions=False)).eval()(x)
    assert torch.allclose(without[:, 0], without[:, -1], atol=1e-5)
    with_ = model_of(SMALL).eval()(x)
    assert not torch.allclose(with_[:, 0], with_[:, -1], atol=1e-3)


@pytest.mark.parametrize("kind", ["fixed", "learned"])
def test_joint_relations_are_added_to_every_frames_embedding(kind):
    related, plain = model_of(replace(SMALL, joint_relation=kind)), model_of(SMALL)
    plain.load_state_dict(related.state_dict(), strict=False)
    added = related._embed(frames() * 0) - plain._embed(frames() * 0)
    adjacency = torch.from_numpy(ADJACENCY)
    if kind == "fixed":
        expected = F.pad(adjacency, (0, 1))  # 15 rows of 15, zero-padded to 16
    else:
        expected = adjacency @ related.relation.weight.mT
        assert related.relation.weight.numel() == 15 * 16
    assert torch.allclose(added, expected[:, None, None].expand_as(added), atol=1e-6)


def test_noise_is_on_the_embeddings_input_in_training_only():
    """With an embedding that copies its input, the noise itself can be read off."""
    expected = 0.02 / 0.25  # on the network's scale
    model = model_of(replace(SMALL, noise=0.02, positions=False), scale=0.25)
    model.embedding.weight.data.zero_()
    model.embedding.weight.data[:, :, :CHANNELS] = torch.eye(CHANNELS)
    x = frames(batch=200)
    seen = model._embed(x)[..., :CHANNELS].permute(1, 2, 0, 3)
    noise = seen - x
    assert noise.std().item() == pytest.approx(expected, rel=0.01)  # of 324,000 draws
    assert noise.mean().abs() < expected / 100
    model.eval()
    assert torch.allclose(model._embed(x)[..., :CHANNELS].permute(1, 2, 0, 3), x)


def test_the_velocity_path_stays_clean_of_noise():
    """With an output of zeros the prediction is the frame itself, noise or not."""
    model = model_of(replace(SMALL, noise=0.5, start_still=True)).train()
    x = frames()
    assert torch.equal(model(x)[:, :, 0], x)


@pytest.mark.parametrize("n", [1, 5])
def test_every_position_is_taught_the_frames_after_it(n):
    """With an output of zeros: predictions are the frame itself, truths the n frames after it."""
    model = model_of(replace(SMALL, frames_per_step=n, start_still=True))
    assert model.span == 12 + n
    window = torch.arange(12.0 + n)[None, :, None, None].expand(1, -1, JOINTS, CHANNELS)
    predicted, truth = model.teach(window, window, 0.0)
    assert predicted.shape == truth.shape == (1, 12, n, JOINTS, CHANNELS)
    for t in range(12):
        assert (predicted[0, t] == t).all()
        assert truth[0, t, :, 0, 0].tolist() == [t + k for k in range(1, n + 1)]


@pytest.mark.parametrize("length", [20, 3], ids=["long seed", "shorter than the window"])
def test_forecasting_slides_the_window_over_its_own_frames(length):
    model, seed = model_of().eval(), frames(length)
    known = seed
    for _ in range(30):
        known = torch.cat([known, model(known[:, -12:])[:, -1]], 1)
    assert torch.equal(model.forecast(seed, 30), known[:, length:])


def test_feedback_is_applied_to_what_is_fed_back_and_not_to_what_is_returned():
    model = model_of().eval()
    seed = frames()
    plain, fed = model.forecast(seed, 3), model.forecast(seed, 3, feedback=lambda f: f * 0)
    assert torch.equal(plain[:, 0], fed[:, 0])
    window = torch.cat([seed[:, 1:], torch.zeros_like(fed[:, :1])], 1)
    assert torch.equal(fed[:, 1], model(window)[:, -1, 0])


@pytest.mark.parametrize("study", STUDIES, ids=lambda s: s.name)
def test_every_study_has_finite_gradients_in_every_parameter(study):
    normaliser = Normaliser(torch.zeros(JOINTS, CHANNELS), torch.ones(JOINTS, CHANNELS))
    config = resized(PUBLISHED[study.name], PROFILES["sample"]).model
    model = build(replace(config, start_still=False), normaliser).train()
    window = frames(model.span)
    predicted, truth = model.teach(window, window, 0.0)
    (predicted - truth).norm(dim=-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or "key" in name, name
