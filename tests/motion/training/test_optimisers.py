import pytest
import torch
from torch import nn

from src.motion.training import optimisers as o
from src.recipes.ingredients import AdamW, Cosine, OnPlateau
from src.training import optim


def test_noam_is_the_published_curve():
    """motion.md, section 2: width 128, 10,000 steps of warm-up, peak 8.8e-4."""
    rates = [o.rate_at(o.Noam(), 1.0, s, 0.0) for s in range(0, 40_000, 100)]
    assert max(rates) == pytest.approx(8.8e-4, rel=0.01)
    assert 99 <= rates.index(max(rates)) <= 100
    assert rates[0] == pytest.approx(128**-0.5 * 10_000**-1.5)
    assert o.rate_at(o.Noam(), 1.0, 39_999, 0.0) == pytest.approx(128**-0.5 * 40_000**-0.5)


def test_other_schedules_are_shares_of_the_peak():
    rates = [o.rate_at(Cosine(floor=0.1), 2.0, 7, progress) for progress in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([2.0, 2.0 * 0.55, 0.2])
    assert o.rate_at(OnPlateau(factor=0.5, patience=5), 0.1, 7, 0.9) == 0.1


@pytest.mark.parametrize(
    "config,expected",
    [(AdamW(lr=1.0), torch.optim.AdamW), (o.Sgd(lr=1.0), torch.optim.SGD),
     (o.RmsProp(lr=1.0), torch.optim.RMSprop)],
)  # fmt: skip
def test_every_optimiser_goes_downhill_at_the_rate_that_it_is_set_to(config, expected):
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(3.0)
    optimiser = o.build(config, model)
    optim.set_rate(optimiser, 0.1)
    assert type(optimiser) is expected and optimiser.param_groups[0]["lr"] == 0.1
    for _ in range(200):
        optimiser.zero_grad()
        model.weight.square().sum().backward()
        optimiser.step()
    assert model.weight.abs() < 0.2
