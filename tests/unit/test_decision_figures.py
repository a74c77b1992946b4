"""The benchmark of the decisions, shorter, so with wider intervals."""

from __future__ import annotations

import pytest

from tests.benchmarks import decisions
from tests.reports import Report

SHORT = "--millions 2 --records 0.1 --runs 40 --rollouts 240 --adwin 0.02"


# Two processes beside other tests may take minutes for what is a minute of processor time.
@pytest.mark.timeout(600)
def test_every_figure_that_has_a_goal_reaches_it() -> None:
    given = decisions.options().parse_args(SHORT.split())
    report = Report("bench-decisions", given.seed)
    decisions.run(given, report)
    # How much processor time is taken hangs on what else runs here.
    with_goal = [row for row in report.rows if row.goal and row.unit != "times"]
    assert len(with_goal) >= 24
    assert [row.line() for row in with_goal if not row.holds] == []
