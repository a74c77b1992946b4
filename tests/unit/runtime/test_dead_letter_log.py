"""A dead letter is logged: once, when it is committed, with everything by which it is found again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

from shared.contracts.envelope import Encoded
from shared.runtime.dead_letters import letter_facts
from shared.runtime.service import Service
from shared.runtime.step import Context, Due, Output
from shared.runtime.task_file import OutboxRow
from tests import builders as b
from tests.unit.runtime.test_process import STEPS, TASK, Bench
from tests.unit.runtime.toy_task import JOINS, STEP, both_marked, predicted


def founded() -> Bench:
    bench = Bench()
    bench.found()
    return bench


def logged(row: OutboxRow) -> list[dict[str, Any]]:
    """The lines that a service of that configuration writes, from a process of its own: logging is global."""
    program = (
        "from shared.runtime.kafka_driver import log_letter\n"
        "from shared.runtime.logs import configure_logs\n"
        "from shared.runtime.task_file import OutboxRow\n"
        "configure_logs('monitoring', '0', 'info')\n"
        f"log_letter({row!r})\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_a_handler_that_raises_is_one_line_of_json() -> None:
    bench = founded()
    bad = predicted(2, entity="raise")
    bench.put(predicted(1), bad, predicted(3))
    bench.turn()
    [row] = bench.buried
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
    assert [letter_facts(row.headers)["offset"] for row in bench.buried] == [0, 2]


def test_what_has_no_event_is_named_by_its_place() -> None:
    bench = founded()
    bench.put(Encoded(b"k", b"{", (("ce_type", b"headrace.prediction_made.v1"),)))
    bench.turn()
    [facts] = [letter_facts(row.headers) for row in bench.buried]
    assert (facts["topic"], facts["offset"], facts["event_id"], facts["error"]) == (JOINS, 0, None, "UnreadableEvent")


def test_a_timer_that_fails_names_itself() -> None:
    def fails(state: Any, due: Due, context: Context) -> tuple[Any, list[Output]]:
        raise ValueError(f"{due.name} is no good")

    bench = founded()
    bench.service = Service("monitoring", {**STEPS, "join": replace(STEP, timers={"due": fails})})
    bench.started()
    bench.put(predicted(1, entity=f"due:{b.T0_MS + 5}"), *both_marked(b.T0_MS + 9, predictions=1))
    bench.turn()
    [facts] = [letter_facts(row.headers) for row in bench.buried]
    assert (facts["topic"], facts["offset"], facts["reason"]) == (JOINS, -1, "due:x is no good")
    assert facts["event_id"]
