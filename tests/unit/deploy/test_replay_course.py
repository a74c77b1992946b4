"""What a replay publishes and when it waits, and what it makes of the counts at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local.replay_pace import Pace, PaceUnknown, parse_pace
from deploy.local.replay_publisher import NotPublished, ReplayPublisher, tick_ends
from deploy.local.replay_report import discrepancies, report
from deploy.local.replay_rows import Outgoing, read_rows
from deploy.local.replay_run import ReplayRun
from deploy.local.settle import Ends, Settled
from shared.contracts.control import Tick
from shared.contracts.definitions import FieldSpec, FieldType
from shared.contracts.envelope import Message, decode, epoch_ms
from shared.contracts.topology import NO_DEFINITIONS
from shared.runtime.definition_files import load
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import Fate, MemoryBroker
from tests import builders as b
from tests.shared_data import shared_file

ROOT = Path(__file__).resolve().parents[3]
START_MS, HALF_HOUR_MS, DAY_MS = epoch_ms("1996-05-07T00:00:00Z"), 1_800_000, 86_400_000
TOPICS = ("electricity", "electricity_labels", "control.v1")


class Stage:
    """A replay over the log in memory; `course` says what happened between one settling and the next."""

    def __init__(self, limit: int) -> None:
        loaded = load(ROOT / "examples" / "electricity" / "definitions.yaml")
        self.definitions = NO_DEFINITIONS.with_applied(loaded.published)
        rows = read_rows(loaded.replays[0], self.definitions, shared_file("electricity.csv"), limit=limit)
        self.broker = MemoryBroker(lambda: 0)
        for topic in TOPICS:
            self.broker.admin().create(topic, 1, {})
        self.course: list[dict[str, int]] = []
        self._before = dict.fromkeys(TOPICS, 0)
        publisher = ReplayPublisher("electricity", self.broker.writer())
        self.run = ReplayRun(rows, self.definitions, publisher, self.settle, lambda: 7, lambda rows: None)

    def settle(self, ends: Ends) -> Settled:
        now = {topic: ends.get(f"{topic}/0", 0) for topic in TOPICS}
        self.course.append(
            {topic: now[topic] - self._before[topic] for topic in TOPICS if now[topic] > self._before[topic]}
        )
        self._before = now
        return Settled(len(self.course), ends)

    def ticks(self) -> list[Message]:
        records = self.broker.history(TopicPartition("control.v1", 0))
        messages = [decode(record.key, record.value, record.headers) for record in records]
        return [message for message in messages if isinstance(message, Message)]


def test_in_lockstep_it_settles_after_the_records_after_the_labels_and_after_the_tick() -> None:
    stage = Stage(limit=120)
    stage.run.run(parse_pace("lockstep"), 48)
    tick = {"control.v1": 1}
    assert stage.course == [
        {}, tick,
        {"electricity": 48}, tick,
        {"electricity": 48}, {"electricity_labels": 48}, tick,
        {"electricity": 24}, {"electricity_labels": 24}, tick,
        {"electricity_labels": 48}, tick,
        {}, tick, tick,
    ]  # fmt: skip


@pytest.mark.parametrize(("pace", "at_once"), [("lockstep", {10}), ("max", {120})])
def test_in_lockstep_a_block_holds_each_entity_of_a_view_by_another_once(pace: str, at_once: set[int]) -> None:
    """At any other pace the order in which they come is left to chance anyway."""
    stage = Stage(limit=120)
    source = stage.run.rows.records.source
    source = source.model_copy(update={"fields": {**source.fields, "slot": FieldSpec(type=FieldType.INTEGER)}})
    count = {"n": {"aggregate": "count", "over": "1h"}}
    by_slot = b.view(name="by_slot", source="electricity", entity="slot", features=count)
    columns = {**stage.run.rows.records.columns, "slot": [row % 10 for row in range(120)]}
    rows = replace(stage.run.rows, records=replace(stage.run.rows.records, source=source, columns=columns))
    definitions = stage.definitions.with_applied([source, by_slot])
    replace(stage.run, rows=rows, definitions=definitions).run(parse_pace(pace), 48)
    assert {course["electricity"] for course in stage.course if "electricity" in course} == at_once


def test_ticks_stand_behind_everything_published_and_adopt_what_was_settled() -> None:
    stage = Stage(limit=96)
    stage.run.run(parse_pace("lockstep"), 48)
    opening, first, second, tail, matured, expired = stage.ticks()
    assert opening.time_ms == START_MS - 1
    assert first.time_ms == START_MS + 47 * HALF_HOUR_MS
    assert second.time_ms == START_MS + 95 * HALF_HOUR_MS
    assert tail.time_ms == second.time_ms + DAY_MS
    assert matured.time_ms == tail.time_ms + 1
    # The last label comes with the tail, and is given up two days later (`expires_after`) if nobody was asked about it.
    assert expired.time_ms == tail.time_ms + 2 * DAY_MS + 1
    ends = [tick.event.ends for tick in stage.ticks() if isinstance(tick.event, Tick)]
    assert ends[1] == {"electricity": {0: 48}}
    assert ends[-1] == {"electricity": {0: 96}, "electricity_labels": {0: 96}}
    adopted = [tick.event.adopt for tick in stage.ticks() if isinstance(tick.event, Tick)]
    assert adopted == sorted(adopted, key=lambda at: at or 0)
    assert len({tick.id for tick in stage.ticks()}) == 6
    again = Stage(limit=96)
    again.run.run(parse_pace("lockstep"), 48)
    assert [tick.id for tick in again.ticks()] == [tick.id for tick in stage.ticks()]


def test_without_lockstep_the_same_is_published_and_the_last_tick_is_the_same() -> None:
    stage = Stage(limit=120)
    stage.run.run(parse_pace("max"), 48)
    for topic in ("electricity", "electricity_labels"):
        values = [orjson.loads(record.value or b"") for record in stage.broker.history(TopicPartition(topic, 0))]
        assert [value["reading"] for value in values] == list(range(120))
    assert stage.ticks()[-1].time_ms == START_MS + 119 * HALF_HOUR_MS + 3 * DAY_MS + 1


class Stopwatch:
    """Time that passes only while somebody sleeps, and a little at each look: the machine's own slowness."""

    def __init__(self, look_s: float) -> None:
        self.now, self._look_s = 1_000.0, look_s

    def now_s(self) -> float:
        self.now += self._look_s
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("look_s", [0.0, 0.001])
def test_a_factor_publishes_each_record_at_its_time_and_its_label_when_it_is_due(look_s: float) -> None:
    stage, watch = Stage(limit=60), Stopwatch(look_s)
    seen: list[tuple[float, str, int]] = []
    send = stage.run.publisher.send

    def sent(record: Outgoing) -> None:
        seen.append((watch.now, record.topic, orjson.loads(record.value)["reading"]))
        send(record)

    stage.run.publisher.send = sent  # the real one, looked at
    replace(stage.run, now_s=watch.now_s, sleep=watch.sleep).run(parse_pace("100x"), 48)
    began_s, step_s = seen[0][0], HALF_HOUR_MS / 1000 / 100
    records = [(at, reading) for at, topic, reading in seen if topic == "electricity"]
    labels = [(at, reading) for at, topic, reading in seen if topic == "electricity_labels"]
    assert [reading for _, reading in records] == [reading for _, reading in labels] == list(range(60))
    assert [at - began_s for at, _ in records] == pytest.approx([n * step_s for n in range(60)], abs=1.0)
    # Held back by 48 records: those of the last ones follow the file, at its step.
    assert [at - began_s for at, _ in labels] == pytest.approx([(n + 48) * step_s for n in range(60)], abs=1.0)
    assert [at for at, _, _ in seen] == sorted(at for at, _, _ in seen)
    ticks = [tick.time_ms for tick in stage.ticks()]
    assert ticks == sorted(ticks)
    assert len(ticks) > 60, "time goes on while the pace is kept"


def test_a_record_that_the_broker_refuses_stops_the_replay() -> None:
    broker = MemoryBroker(lambda: 0)
    broker.admin().create("control.v1", 1, {})
    publisher = ReplayPublisher("electricity", broker.writer(lambda tp, key, value: Fate.FAIL))
    with pytest.raises(NotPublished, match="empty state"):
        publisher.tick(0, Tick.model_validate({"clock": "events", "sources": ["electricity"]}))


def test_paces() -> None:
    assert parse_pace("lockstep") == Pace(lockstep=True)
    assert parse_pace("max").wait_s(10_000, 0, 0.0) == 0.0
    assert parse_pace("100x").wait_s(100_000, 0, 0.25) == pytest.approx(0.75)
    assert parse_pace("100x").wait_s(100_000, 0, 2.0) == 0.0
    for text in ("fast", "0x", "-1x", "x"):
        with pytest.raises(PaceUnknown, match="100x"):
            parse_pace(text)


def test_ends_of_a_tick_are_those_of_its_topics() -> None:
    ends = {"a/0": 3, "a/1": 4, "b/0": 5}
    assert tick_ends(ends, frozenset({"a"})) == {"a": {0: 3, 1: 4}}


def _counts(**of_model: int) -> dict[str, Any]:
    model = {
        "accepted": 10, "before_first_model": 4, "scored": 6, "joined": 5, "unlabelled": 1, "unmatured": 0,
        "metric": "accuracy", "quality": 0.5, "quality_by_tenth": [None] * 10, "retrainings": 0, "promotions": 0,
        "rollbacks": 0, "alarms": [], "requests": 3,
    }  # fmt: skip
    source = {"published": 10, "accepted": 10, "rejected": 0, "late": 0, "rejected_by_reason": {}}
    return {"sources": {"clicks": source}, "models": {"up": {**model, **of_model}}, "dead": {"serving": 0}}


def test_the_report_holds_what_is_documented_and_nothing_else() -> None:
    found = report(_counts(), "clicks", ["up"], 1.23456)
    assert found["seconds"] == 1.235
    assert found["records"] == {"published": 10, "accepted": 10, "rejected": 0, "late": 0}
    documented = (ROOT / "docs" / "replay.md").read_text()
    assert "requests" not in found["models"]["up"]
    assert all(
        f"`{name}`" in documented for name in (*found, *found["models"]["up"]) if name not in ("records", "models")
    )
    assert discrepancies(found, {"serving": 0}) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"scored": 7, "joined": 6}, "accepted 10"), ({"unmatured": 1}, "scored 6"), ({"joined": 4}, "scored 6")],
)
def test_counts_that_do_not_add_up_are_named(wrong: dict[str, int], said: str) -> None:
    [found] = discrepancies(report(_counts(**wrong), "clicks", ["up"], 1.0), {})
    assert said in found
    assert "model up" in found


def test_dead_letters_are_a_discrepancy() -> None:
    assert discrepancies(report(_counts(), "clicks", ["up"], 1.0), {"serving": 2}) == [
        "2 records went to serving.dead.v1"
    ]
