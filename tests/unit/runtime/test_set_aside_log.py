"""What is set aside is logged: once, when it is committed, with everything by which it is found again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.contracts.envelope import Encoded, Message, decode, encode
from shared.contracts.flow import RecordRejected
from shared.contracts.topics import REJECTED
from shared.runtime.dead_letters import letter_facts
from shared.runtime.service import Service
from shared.runtime.step import Context, Due, Output
from shared.runtime.task_file import OutboxRow
from tests import builders as b
from tests.unit.ingestion.calls import value
from tests.unit.ingestion.running import publish, world
from tests.unit.runtime.process_bench import STEPS, TASK, Bench
from tests.unit.runtime.toy_task import JOINS, STEP, both_marked, predicted

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def founded() -> Bench:
    bench = Bench()
    bench.found()
    return bench


def logged(*rows: OutboxRow, at_s: Sequence[float] = (0.0,)) -> list[dict[str, Any]]:
    """The lines that a service of that configuration writes, from a process of its own: logging is global."""
    program = (
        "from shared.runtime.set_aside_log import SetAsideLog\n"
        "from shared.runtime.logs import configure_logs\n"
        "from shared.runtime.task_file import OutboxRow\n"
        "configure_logs('monitoring', '0', 'info')\n"
        "now_s = 0.0\n"
        "said = SetAsideLog(lambda: now_s)\n"
        f"for now_s in {at_s!r}:\n"
        f"    for row in {rows!r}:\n"
        "        said(row)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_a_handler_that_raises_is_one_line_of_json() -> None:
    bench = founded()
    bad = predicted(2, entity="raise")._replace(trace=TRACE)
    bench.put(predicted(1), bad, predicted(3))
    bench.turn()
    [row] = bench.set_aside
    [line] = logged(row)
    assert line.pop("timestamp")
    assert line == {
        "event": "dead letter",
        "level": "error",
        "service": "monitoring",
        "instance": "0",
        "dead_letters": "monitoring.dead.v1",
        "task": TASK,
        "topic": JOINS,
        "partition": 0,
        "offset": 1,
        "event_id": bad.id,
        "trace_id": "a" * 32,
        "letter_id": letter_facts(row.headers)["letter_id"],
        "error": "ValueError",
        "reason": "this one cannot be taken",
    }


def test_a_letter_is_said_once_however_often_the_process_starts_again() -> None:
    bench = founded()
    bench.put(predicted(1, entity="raise"), predicted(2), predicted(3, entity="raise"))
    bench.turn()
    bench.started()
    bench.put(predicted(4))
    bench.turn()
    assert [letter_facts(row.headers)["offset"] for row in bench.set_aside] == [0, 2]


def test_what_has_no_event_is_named_by_its_place() -> None:
    bench = founded()
    bench.put(Encoded(b"k", b"{", (("ce_type", b"headrace.prediction_made.v1"),)))
    bench.turn()
    [facts] = [letter_facts(row.headers) for row in bench.set_aside]
    assert (facts["topic"], facts["offset"], facts["event_id"], facts["error"]) == (JOINS, 0, None, "UnreadableEvent")


def test_a_timer_that_fails_names_itself() -> None:
    def fails(state: Any, due: Due, context: Context) -> tuple[Any, list[Output]]:
        raise ValueError(f"{due.name} is no good")

    bench = founded()
    bench.service = Service("monitoring", {**STEPS, "join": replace(STEP, timers={"due": fails})})
    bench.started()
    bench.put(predicted(1, entity=f"due:{b.T0_MS + 5}"), *both_marked(b.T0_MS + 9, predictions=1))
    bench.turn()
    [facts] = [letter_facts(row.headers) for row in bench.set_aside]
    assert (facts["topic"], facts["offset"], facts["reason"]) == (JOINS, -1, "due:x is no good")
    assert facts["event_id"]


def rejected(trace: str | None = TRACE) -> OutboxRow:
    encoded = encode(b.message(b.rejected(), id="e1", trace=trace))
    return OutboxRow(0, REJECTED.name, 0, encoded.key, encoded.value, encoded.headers)


def test_a_rejected_record_is_one_line_of_json() -> None:
    [line] = logged(rejected())
    event = b.rejected()
    assert line.pop("timestamp")
    assert line == {
        "event": "record rejected",
        "level": "warning",
        "service": "monitoring",
        "instance": "0",
        "source": event.source,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "event_id": "e1",
        "trace_id": "a" * 32,
        "error": event.reason,
        "reason": event.detail,
        "unlogged_before": 0,
    }


def test_of_many_rejected_records_ten_are_said_in_ten_seconds_and_then_how_many_were_not() -> None:
    lines = logged(*[rejected()] * 25, at_s=(0.0, 9.9, 10.0))
    assert [line["unlogged_before"] for line in lines] == [0] * 10 + [40] + [0] * 9


def test_ingestion_tells_of_each_record_that_it_rejects_once() -> None:
    told: list[OutboxRow] = []
    made = world()
    made.processes["ingestion"]._host = replace(made.processes["ingestion"]._host, set_aside=told.append)
    publish(made, b"{")
    publish(made, value())
    publish(made, value(transaction_id="t2", amount=-1.0))
    made.settle()
    events = [decode(row.key, row.value, row.headers) for row in told]
    assert [m.event.reason for m in events if isinstance(m, Message) and isinstance(m.event, RecordRejected)] == [
        "undecodable", "out_of_range",
    ]  # fmt: skip
