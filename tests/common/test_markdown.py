"""Tables in Markdown, of names that somebody else has chosen."""

import pandas as pd
import pytest

from src.common.markdown import as_markdown


@pytest.mark.parametrize("as_series", [False, True])
def test_names_and_numbers_stay_as_they_are_in_a_column_each(as_series):
    shares = pd.Series({"007": "0.50", "a|b": "1e5"}, name="share")
    rows = as_markdown(shares if as_series else shares.to_frame()).splitlines()
    assert [row.replace(" ", "") for row in rows[2:]] == ["|007|0.50|", r"|a\|b|1e5|"]
