"""A judge that lags so far behind that its figures are stale: they promote nobody, and fresh ones do."""

from __future__ import annotations

from shared.contracts import control as c
from tests.scenarios.test_simulation import history_of, violations
from tests.scenarios.without_the_judge import without_the_judge


def test_what_a_judge_says_of_long_ago_promotes_nobody() -> None:
    platform = without_the_judge(2)
    assert not violations(platform)
    history = history_of(platform)
    stale = [
        verdict
        for read, verdict in history.decided(c.VerdictReached)
        if verdict.kind is c.VerdictKind.BETTER
        and history.control.at(read.position).now_ms(verdict.model) - verdict.last_time_ms > 11 * 60_000
    ]
    assert stale
    named = {event.verdict_id for _, event in history.decided(c.VersionPromoted, c.RolloutAdvanced)}
    assert not named & {verdict.verdict_id for verdict in stale}
