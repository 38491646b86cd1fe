"""The report of a siege: what callers met in each of its parts."""

from __future__ import annotations

import pytest
from siege_report import SEED, Report

_REPORT = pytest.StashKey[Report]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Of the whole run."""
    return request.config.stash.setdefault(_REPORT, Report())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_REPORT, None)
    if found is None or not found.lines:
        return
    terminalreporter.section(f"what callers met (seed {SEED})")
    for line in found.table():
        terminalreporter.write_line(line)
