"""Optimisers against their papers, parameter groups against the published names."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.common import checkpoint
from src.recipes.frame_deberta import A, B
from src.recipes.ingredients import AdamW, Lion, RAdamLookahead, Ranger
from src.training import optim, resume

RADAM_LOOKAHEAD = RAdamLookahead(lr=0.1, weight_decay=0.1, decay_with_rate=True)


@pytest.mark.parametrize("recipe", [A, B], ids=["A", "B"])
def test_decay_spares_what_the_publication_spares(recipe):
    """recognition.md 3.5: names with bias or LayerNorm, that is DeBERTa's own layer norms. Batch
    norms, the encoder's two norms (type_norm, landmark_norm) and embeddings are decayed."""
    model = replace(recipe.distilled, dim=8, widths=(16,) * 4).build(recipe.layout, 5)
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    groups = optim.build(recipe.optimiser, [model, frozen]).param_groups
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())  # each once
    assert [group["weight_decay"] for group in groups] == [0.4, 0.0]
    spared = {id(p) for p in groups[1]["params"]}
    layer_norms = {
        f"layers.{n}.{norm}.weight"
        for n in range(3)
        for norm in ("attention.positions.norm", "attention_norm", "out_norm")
    }
    named = dict(model.named_parameters())
    biases = {name for name in named if name.endswith("bias")}
    assert {name for name in named if id(named[name]) in spared} == layer_norms | biases


def test_lion_is_the_published_update():
    """arXiv 2302.06675, algorithm 2, unrolled in numpy: recognition.md 2.5."""
    layer = torch.nn.Linear(3, 2, bias=False)
    optimiser = optim.build(Lion(lr=0.01, weight_decay=0.1), [layer])
    weight = layer.weight.detach().double().numpy()
    moment, rng = np.zeros_like(weight), np.random.default_rng(0)
    for _ in range(20):
        gradient = rng.normal(size=weight.shape)
        layer.weight.grad = torch.from_numpy(gradient).float()
        optimiser.step()
        update = np.sign(0.9 * moment + 0.1 * gradient)
        weight = weight - 0.01 * (update + 0.1 * weight)
        moment = 0.99 * moment + 0.01 * gradient
    # Twenty steps in float32.
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, atol=1e-6)


def test_radam_in_lookahead_is_the_published_update():
    """arXiv 1908.03265, algorithm 2, in arXiv 1907.08610, algorithm 1, unrolled in numpy; with the
    1st place's threshold, 4, and decay: a step takes lr(t) 0.1 lr(t) off a weight."""
    layer = torch.nn.Linear(3, 2, bias=False)
    optimiser = optim.build(RADAM_LOOKAHEAD, [layer])
    fast = slow = layer.weight.detach().double().numpy()
    m, v, rng = np.zeros_like(fast), np.zeros_like(fast), np.random.default_rng(0)
    longest = 2 / (1 - 0.999) - 1
    for t in range(1, 24):
        rate = 0.1 / t
        gradient = rng.normal(size=fast.shape)
        layer.weight.grad = torch.from_numpy(gradient).float()
        optim.set_rate(optimiser, rate)
        optimiser.step()

        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = m / (1 - 0.9**t)
        length = longest - 2 * t * 0.999**t / (1 - 0.999**t)
        if length >= 4:
            r = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            step = np.sqrt(r) * step / np.sqrt(v / (1 - 0.999**t))
        fast = fast - rate * (step + 0.1 * rate * fast)
        if t % 5 == 0:
            fast = slow = slow + 0.5 * (fast - slow)
        # Float32, and an epsilon of 1e-7 beside a root of at least 1e-3.
        np.testing.assert_allclose(layer.weight.detach().numpy(), fast, atol=2e-5)


def test_ranger_is_the_published_update():
    """torch's RAdam in Lookahead, of centralised gradients: github.com/lessw2020, ranger.py.

    The first steps, whose average is shorter than 5, follow the momentum alone, downwards. A matrix
    loses the mean of each row of its gradient (arXiv 2004.01461); a vector keeps its own.
    """
    layer = torch.nn.Linear(3, 2)
    optimiser = optim.build(Ranger(lr=0.01), [layer])
    fast = copy.deepcopy(layer).double()
    slow = [weight.detach().clone() for weight in fast.parameters()]
    radam = torch.optim.RAdam(fast.parameters(), lr=0.01, betas=(0.95, 0.999), eps=1e-5)
    rng = np.random.default_rng(0)
    for t in range(1, 24):
        for weight, expected in zip(layer.parameters(), fast.parameters(), strict=True):
            gradient = torch.from_numpy(rng.normal(1, 1, size=weight.shape))
            weight.grad = gradient.float()
            mean = gradient.mean(1, keepdim=True) if gradient.ndim > 1 else 0
            expected.grad = gradient - mean
        optimiser.step()
        radam.step()
        for weight, expected, kept in zip(layer.parameters(), fast.parameters(), slow, strict=True):
            if t % 5 == 0:
                kept += 0.5 * (expected.data - kept)
                expected.data = kept.clone()
            torch.testing.assert_close(weight.double(), expected, rtol=1e-7, atol=1e-5)  # float32


@pytest.mark.parametrize("decay_with_rate", [False, True])
def test_the_decay_follows_the_rate_only_if_asked(decay_with_rate):
    model = torch.nn.Linear(2, 2)
    config = AdamW(lr=0.5, weight_decay=0.4, no_decay=("bias",), decay_with_rate=decay_with_rate)
    optimiser = optim.build(config, [model])
    for rate in (0.5, 0.1):
        optim.set_rate(optimiser, rate)
        decays = {g["params"][0].dim(): g["weight_decay"] for g in optimiser.param_groups}
        assert decays == {2: pytest.approx(0.4 * rate if decay_with_rate else 0.4), 1: 0.0}


every_optimiser = pytest.mark.parametrize(
    "config",
    [
        AdamW(lr=0.1, weight_decay=0.1),
        Lion(lr=0.1, weight_decay=0.1),
        Ranger(lr=0.1),
        RADAM_LOOKAHEAD,
    ],
    ids=lambda config: type(config).__name__,
)


def stepped(model, config, steps, state=None) -> torch.optim.Optimizer:
    """An optimiser, from this state on, after these steps."""
    optimiser = optim.build(config, [model])
    if state is not None:
        optimiser.load_state_dict(state)
    for t in steps:
        optim.set_rate(optimiser, 0.1 / (t + 1))
        optimiser.zero_grad()
        model(torch.full((1, 3), t / 10)).square().sum().backward()
        optimiser.step()
    return optimiser


@every_optimiser
def test_every_optimiser_resumes_to_the_same_bits(config, tmp_path):
    """Saved after seven steps, in the middle of a Lookahead, through a file as checkpoints are."""
    torch.manual_seed(0)
    unbroken = torch.nn.Linear(3, 2)
    first = copy.deepcopy(unbroken)
    stepped(unbroken, config, range(20))
    checkpoint.save(tmp_path / "state.pt", stepped(first, config, range(7)).state_dict())
    second = copy.deepcopy(first)
    stepped(second, config, range(7, 20), checkpoint.load(tmp_path / "state.pt"))
    for a, b in zip(unbroken.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@every_optimiser
@pytest.mark.parametrize("steps", [1, 7])
def test_a_training_takes_its_own_optimisers_state_and_no_other(config, steps):
    layer = torch.nn.Linear(3, 2)
    own, fresh = stepped(layer, config, range(steps)), stepped(layer, config, [])
    state = copy.deepcopy(own.state_dict())
    resume.compare(state, fresh.state_dict(), "optimiser")
    fresh.load_state_dict(state)
    resume.check_optimiser(fresh, config)
    for kept in state.get("base_optimizer", state)["state"].values():
        del kept["exp_avg"]
    fresh.load_state_dict(state)  # torch takes it
    with pytest.raises(ValueError, match="state: without exp_avg"):
        resume.check_optimiser(fresh, config)
