"""What members cost: a table, and a refusal that says who costs what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from src.common.errors import InputError
from src.submission import costs
from src.submission.costs import Cost

A, B = Cost("a", 9.0, 4.0), Cost("b", 30.0, 6.0)


@pytest.mark.parametrize("whole", [Cost("ensemble", 40.0, 9.0), Cost("ensemble", 39.0, 100.0)])
def test_a_combination_over_a_limit_is_refused_with_every_members_cost(whole):
    with pytest.raises(InputError, match=r"less than 40 MB and 100 ms.*a 9\.0 MB 4\.0 ms, b 30"):
        costs.check(whole, [A, B])


def test_a_combination_below_both_limits_is_taken():
    assert costs.check(Cost("ensemble", 39.9, 99.9), [A, B]) is None


def test_the_table_says_what_each_member_brings_and_costs():
    accuracy = pd.DataFrame(
        {"alone": [0.5, 0.6, 0.7], "without": [0.6, 0.5, np.nan]}, index=["a", "b", "ensemble"]
    )
    table = costs.ensemble_table(
        [A, B], [Cost("a", 30.0, 6.0), B], Cost("ensemble", 38.0, 9.0), accuracy
    )
    assert list(table.index) == ["a", "b", "ensemble"]
    assert table.loc["a", ("alone", "size, MB")] == 9.0
    assert table.loc["a", ("without", "size, MB")] == 30.0
    assert table.loc["b", ("without", "accuracy")] == 0.5
    assert table.loc["ensemble", ("alone", "latency, ms")] == 9.0
    assert np.isnan(table.loc["ensemble", ("without", "size, MB")])
