"""The benchmark of the decisions, shorter, so with wider intervals."""

from __future__ import annotations

import pytest

from tests.benchmarks import decisions
from tests.reports import Report


@pytest.mark.timeout(900)
def test_every_figure_that_has_a_goal_reaches_it() -> None:
    given = decisions.options().parse_args(
        ["--millions", "2", "--runs", "60", "--rollouts", "240", "--adwin", "0.02", "--estimates", "8"]
    )
    report = Report("bench-decisions", given.seed)
    decisions.run(given, report)
    with_goal = [row for row in report.rows if row.goal]
    assert len(with_goal) >= 12
    assert [row.line() for row in with_goal if not row.holds] == []
