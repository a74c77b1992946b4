"""Every query of the dashboard, asked of a Prometheus that scraped the demo, before and after what moves it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from deploy.grafana.panels import PANELS, Panel
from shared.contracts import control
from shared.contracts.flow import PredictionMade, RecordAccepted
from shared.contracts.topics import PREDICTIONS, RECORDS
from tests.e2e.conftest import WatchedDemo
from tests.e2e.prometheus import Series
from tests.scenarios.topic_history import Read, TopicHistory

pytestmark = pytest.mark.timeout(900)
WITHIN_S = 10.0
# A request over HTTP is answered, and counted, before its prediction stands in the topic.
LOGGED_WITHIN_S = 1.0
# What counts events of which the demo has none: its labels change, its inputs do not.
NONE_IN_THE_DEMO = {"headrace_console_input_alarms_total": control.InputsMoved}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_an_event_of_the_demo_has_moved(panel: Panel, watched_demo: WatchedDemo) -> None:
    moments = [at_s for at_s in moments_s(panel.moved_by, watched_demo.evidence.history) if at_s < watched_demo.to_s]
    assert moments, f"the demo had no {panel.moved_by}"
    assert min(moments) > watched_demo.from_s, "the records of the topics have no timestamps of the wall clock"
    found = {query.expression: asked(query.expression, watched_demo) for query in panel.queries}
    for expression, series in found.items():
        kind = NONE_IN_THE_DEMO.get(expression.partition("{")[0])
        if kind is not None:
            assert list(watched_demo.evidence.history.decided(kind)) == []
            assert {value for one in series for _, value in one} == {0.0}
            continue
        assert any(len({value for _, value in one}) > 1 for one in series), f"{expression} stayed as it was: {series}"
    moved = [
        expression
        for expression, series in found.items()
        if any(one_moves(expression, one, at_s) for one in series for at_s in moments)
    ]
    assert moved, f"no query of {panel.title} moved within {WITHIN_S:g} s of a {panel.moved_by} at {moments}: {found}"


def asked(expression: str, demo: WatchedDemo) -> list[Series]:
    """What the query said all along the demo, for every model."""
    found = demo.prometheus.range(expression.replace("$model", ".*"), demo.from_s, demo.to_s)
    return [[(at_s, value) for at_s, value in one if not math.isnan(value)] for one in found]


def moments_s(kind: str, history: TopicHistory) -> list[float]:
    """When events of this kind were written, by the wall clock: all that were decided; of a stream's the first ones.

    The first ones: of each source, and of each way in which a prediction is asked for.
    """
    if hasattr(control, kind):
        return [written_s(read, history) for read, _ in history.decided(getattr(control, kind))]
    first: dict[str, float] = {}
    for name, read in streamed(kind, history):
        first[name] = min(written_s(read, history), first.get(name, math.inf))
    return list(first.values())


def streamed(kind: str, history: TopicHistory) -> list[tuple[str, Read]]:
    """The first event of each log and name."""
    sources, models = history.definitions.sources, history.definitions.models
    found = {
        "RecordAccepted": lambda: [
            (name, read) for name in sources for read, _ in history.events(RECORDS.of(name).name, RecordAccepted)
        ],
        "PredictionMade": lambda: [
            (made.origin, read)
            for name in models
            for read, made in history.events(PREDICTIONS.of(name).name, PredictionMade)
        ],
    }[kind]()
    first: dict[object, tuple[str, Read]] = {}
    for name, read in found:
        first.setdefault((name, read.tp), (name, read))
    return list(first.values())


def written_s(read: Read, history: TopicHistory) -> float:
    """The timestamp that the record has in Kafka."""
    log = history.logs[read.tp]
    record = log[read.offset - log[0].offset]
    assert record.offset == read.offset
    return record.timestamp_ms / 1_000


def one_moves(expression: str, series: Series, at_s: float) -> bool:
    """A rate has to begin with the first event; what is no rate has another value after the event than before it."""
    return begins(series, at_s) if "rate(" in expression else changes(series, at_s)


def changes(series: Series, at_s: float) -> bool:
    """It had a value when the event was written, and another one soon after."""
    before = [value for then_s, value in series if then_s <= at_s]
    return bool(before) and any(value != before[-1] for value in soon_after(series, at_s))


def begins(series: Series, at_s: float) -> bool:
    """It was 0, or not there, until the first event, and soon after is above 0."""
    before = [value for then_s, value in series if then_s <= at_s - LOGGED_WITHIN_S]
    return not any(before) and any(value > 0 for value in soon_after(series, at_s))


def soon_after(series: Series, at_s: float) -> Sequence[float]:
    return [value for then_s, value in series if at_s < then_s <= at_s + WITHIN_S]


STEADY = [(float(second), 3.0) for second in range(60)]
RISING = [*STEADY[:30], *((float(second), 4.0) for second in range(30, 60))]


def test_a_query_that_moved_at_another_time_is_seen() -> None:
    assert not changes(STEADY, 29.5)
    assert not changes(RISING, 10.0)
    assert not changes(RISING, 30.0)
    assert not changes(RISING[30:], 29.5)
    assert changes(RISING, 29.5)
    assert not begins(STEADY, 29.5)
    assert not begins([(at_s, value - 3.0) for at_s, value in RISING], 10.0)
    assert begins([(at_s, value - 3.0) for at_s, value in RISING], 29.5)
    assert begins(RISING[30:], 29.5)
    assert not begins([], 29.5)
