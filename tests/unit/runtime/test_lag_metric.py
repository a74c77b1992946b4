"""A burst that a task works off between two scrapes stands in its lag for a while."""

from __future__ import annotations

import pytest

from shared.runtime import http_server
from shared.runtime.http_server import LAG_WINDOW_S, Health
from shared.runtime.snapshot import Progress, Snapshot, TaskFigures

QUIET = Progress(
    service="features", instance="0", membership="alone", incarnation="1", log_id="l", control=1, applied={}, sent={},
    pending=0, doing=[], waiting={},
)  # fmt: skip


def figures(lag: int, peak: int) -> TaskFigures:
    return TaskFigures(
        "features/compute/records.m.v1/0", 1, None, "inputs", "m", 0, 1, 0, 0, 0, 0, lag, peak, None, 0, 0.0
    )


class Clock:
    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def test_the_largest_lag_of_the_last_seconds_is_shown_and_then_the_lag_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(http_server, "time", clock)
    health = Health("features")
    for lag, peak in ((0, 0), (0, 96), (2, 2)):
        clock.now_s += 0.4
        health.said(Snapshot(QUIET, [figures(lag, peak)]))
    assert health.largest_lag(figures(2, 2)) == 96
    clock.now_s += LAG_WINDOW_S + 1
    assert health.largest_lag(figures(2, 2)) == 2
    health.said(Snapshot(QUIET, [figures(0, 0)]))
    assert health.largest_lag(figures(0, 0)) == 0
