import pytest
import torch
from torch import nn

from src.motion.training import optimisers as o


def test_noam_is_the_published_curve():
    """motion.md, section 2: width 128, 10,000 steps of warm-up, peak 8.8e-4."""
    rates = [o.rate_at(o.Noam(), 1.0, s, 0.0) for s in range(0, 40_000, 100)]
    assert max(rates) == pytest.approx(8.8e-4, rel=0.01)
    assert 99 <= rates.index(max(rates)) <= 100
    assert o.rate_at(o.Noam(), 1.0, 0, 0.0) == pytest.approx(128**-0.5 * 10_000**-1.5)
    assert o.rate_at(o.Noam(), 1.0, 39_999, 0.0) == pytest.approx(128**-0.5 * 40_000**-0.5)


def test_cosine_climbs_then_falls_to_its_last_share():
    schedule = o.Cosine(warmup=10, last=0.1)
    assert o.rate_at(schedule, 2.0, 0, 0.0) == pytest.approx(0.2)
    assert o.rate_at(schedule, 2.0, 9, 0.0) == pytest.approx(2.0)
    assert o.rate_at(schedule, 2.0, 500, 0.5) == pytest.approx(2.0 * 0.55)
    assert o.rate_at(schedule, 2.0, 1000, 1.0) == pytest.approx(0.2)


def test_a_plateau_halves_the_rate_every_fifth_time():
    schedule = o.HalveOnPlateau(5)
    rates = [o.rate_at(schedule, 0.1, 0, 0.0, stale) for stale in (0, 4, 5, 9, 10)]
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025]
    assert o.rate_at(o.Constant(), 0.1, 7, 0.9, 30) == 0.1


@pytest.mark.parametrize(
    "config,expected",
    [(o.Adam(0.1), torch.optim.AdamW), (o.Sgd(0.1), torch.optim.SGD),
     (o.RmsProp(0.1), torch.optim.RMSprop)],
)  # fmt: skip
def test_every_optimiser_goes_downhill_at_its_rate(config, expected):
    parameter = nn.Parameter(torch.tensor([3.0]))
    optimiser = o.build(config, [parameter])
    assert type(optimiser) is expected and optimiser.param_groups[0]["lr"] == 0.1
    for _ in range(200):
        optimiser.zero_grad()
        parameter.square().backward()
        optimiser.step()
    assert parameter.abs() < 0.2


def test_adam_without_decay_is_torchs_adam():
    a, b = (nn.Parameter(torch.tensor([3.0, -1.0])) for _ in range(2))
    ours, theirs = o.build(o.Adam(0.1), [a]), torch.optim.Adam([b], lr=0.1)
    for parameter, optimiser in ((a, ours), (b, theirs)) * 5:
        optimiser.zero_grad()
        parameter.pow(4).sum().backward()
        optimiser.step()
    assert torch.allclose(a, b)
