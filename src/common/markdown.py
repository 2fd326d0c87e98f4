"""Tables in Markdown."""

import pandas as pd


def as_markdown(table: pd.DataFrame | pd.Series) -> str:
    """A table in Markdown, names and texts unchanged: 007 stays a text, a|b stays one column."""
    shown = table.to_frame() if isinstance(table, pd.Series) else table
    return shown.rename(index=_in_one_column).to_markdown(disable_numparse=True)


def _in_one_column(name: object) -> str:
    return str(name).replace("|", r"\|")
