"""The count of cases, at the end of the report."""

from __future__ import annotations

import pytest

from tests.fuzz.cases import TALLY

COLUMNS = ("tried", "answered", "refused", "failed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TALLY:
        return
    terminalreporter.section("fuzzed cases")
    total = {name: sum(count[name] for count in TALLY.values()) for name in COLUMNS}
    terminalreporter.write_line(f"{'':<28}" + "".join(f"{name:>10}" for name in COLUMNS))
    for what, count in [*sorted(TALLY.items()), ("total", total)]:
        numbers = "".join(f"{count[name]:>10,}" for name in COLUMNS)
        terminalreporter.write_line(f"{what:<28}{numbers}")
