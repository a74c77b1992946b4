"""A process of a toy service over the log in memory: tasks open, read, publish, wait, follow and pause."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest
import structlog

from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.virtual_time import Jobs
from shared.contracts.envelope import Encoded
from shared.contracts.topics import CONTROL
from shared.runtime import process as runtime
from shared.runtime.full_disks import TRY_EVERY_S, DiskFull
from shared.runtime.head_task import HeadTask
from shared.runtime.log import BrokerAway, TopicPartition
from shared.runtime.ownership import Members
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.snapshot import Rests, snapshot
from shared.runtime.step import Step
from shared.runtime.task_folder import TaskFolder
from tests import builders as b
from tests.unit.runtime.process_bench import CONTROL_TP, JOINS_TP, STEPS, TASK, Bench, Followed
from tests.unit.runtime.test_head_task import HEAD
from tests.unit.runtime.toy_task import (
    JOINS,
    OUTCOMES_TOPIC,
    both_marked,
    control_log,
    labelled,
    predicted,
    seen,
    wall_source,
)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.found()
    return made


def test_a_process_waits_for_the_founding_and_says_so() -> None:
    bench = Bench()
    bench.turn()
    assert bench.process.awaited == {"control.v1": "the registry founds the platform; it has not yet"}
    bench.found()
    bench.turn()
    assert set(bench.process.tasks) >= {TASK}


def test_a_task_whose_topic_is_missing_opens_when_it_comes() -> None:
    bench = Bench()
    bench.broker.admin().create(CONTROL.name, 1, {})
    for record in control_log():
        bench.broker.append(CONTROL_TP, record.key, record.value, record.headers)
    bench.turn()
    missing = f"records.{b.LABELS}.v1"
    assert f"monitoring/key_labels/{missing}/0" not in bench.process.tasks
    assert any(missing in why for why in bench.process.awaited.values())
    bench.broker.admin().create(missing, 1, {})
    bench.turn(5)
    assert f"monitoring/key_labels/{missing}/0" in bench.process.tasks


@pytest.mark.parametrize("failing", range(4))
def test_what_a_broker_that_went_away_left_unopened_is_opened_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failing: int
) -> None:
    """Tasks, and what a follower follows: each asks where its log begins."""
    follower = Followed(f"predictions.{b.MODEL}.v1")
    bench.files = TaskFolder(tmp_path)
    bench.service = Service("monitoring", STEPS, followers=(lambda process: follower,))
    process = bench.started()
    asked, beginning = itertools.count(), process.reader.beginning

    def begins(tp: TopicPartition) -> int:
        if next(asked) == failing:
            raise BrokerAway("memory")
        return beginning(tp)

    monkeypatch.setattr(process.reader, "beginning", begins)
    with pytest.raises(BrokerAway):
        bench.turn()
    bench.put(predicted(1))
    bench.put(predicted(1), tp=TopicPartition(follower.topic, 0))
    bench.turn(5)
    assert {spec.id for spec in b.definitions().tasks if spec.service == "monitoring"} == process.tasks.keys()
    assert seen(process.tasks[TASK]) == ["r1"]
    assert [message.sequence for message in follower.messages] == [1]
    process.close()


def test_a_task_that_goes_to_another_instance_when_its_turn_comes_is_let_go(bench: Bench) -> None:
    bench.turn()
    process = bench.process
    bench.put(b.message(b.applied(*b.declared()), time_ms=b.T0_MS + 1), tp=CONTROL_TP)
    process.read(0.0)
    bench.membership.names = ("another",)
    assert process.advance(TASK, 10)  # learns of the definitions, and of the other one
    assert process.tasks == {}
    assert not process.publish()


def test_what_a_broker_that_went_away_left_unopened_is_opened_later_though_its_definitions_are_known() -> None:
    """The first look hands the search for copies away; the broker goes away amid the second."""
    bench = Bench()
    bench.executor = jobs = Jobs()
    bench.found()
    process = bench.started()
    bench.turn()
    assert not process.tasks
    assert TASK in process.awaited
    while jobs.waiting:
        jobs.run()
    bench.clock.pass_ms(200)
    bench.broker.away = True
    with pytest.raises(BrokerAway):
        process.reconcile()
    bench.broker.away = False
    bench.turn(5)
    assert {spec.id for spec in b.definitions().tasks if spec.service == "monitoring"} == process.tasks.keys()


def test_records_are_taken_published_and_acknowledged(bench: Bench) -> None:
    bench.put(predicted(1), predicted(2))
    bench.turn(5)
    assert [dict(record.headers).get("ce_sequence") for record in bench.outcomes()][:2] == [b"1", b"2"]
    assert bench.process.pending == 0
    assert bench.process.applied()[JOINS_TP] == 2
    assert bench.process.sent()[OUTCOMES_TOPIC.name, 0] == len(bench.outcomes())


def test_a_killed_process_goes_on_from_its_files(bench: Bench) -> None:
    bench.put(predicted(1), predicted(2))
    bench.turn(2)  # applied and handed over, but the cursor is not stored
    bench.started()
    bench.put(predicted(3))
    bench.turn(5)
    assert seen(bench.process.tasks[TASK]) == ["r1", "r2", "r3"]
    events = [dict(r.headers) for r in bench.outcomes() if dict(r.headers)["ce_type"] != b"headrace.mark.v1"]
    assert [h["ce_sequence"] for h in events] == [b"1", b"2", b"1", b"2", b"3"]
    assert len({h["ce_id"] for h in events}) == 3


def test_a_process_that_begins_on_a_full_disk_waits_for_room_and_looks_for_it_now_and_then() -> None:
    bench, disk, refused = Bench(), MemoryFiles(), list[int]()
    disk.refused = lambda: refused.append(bench.clock.wall_ms())
    bench.files = disk
    disk.fill()
    process = bench.started()
    bench.found()
    with structlog.testing.capture_logs() as said:
        bench.turn(30)
    wanted = sorted(spec.id for spec in b.definitions().tasks if spec.service == "monitoring")
    assert process.tasks == {}
    assert sorted(process.awaited) == wanted
    assert len(snapshot(process, "first").without_room) == len(wanted)
    assert all("goes on by itself once there is room" in why for why in process.awaited.values())
    assert sorted(line["rests"] for line in said if line.get("error") == "DiskFull") == wanted, "each is said once"
    assert len(refused) == 2 * len(wanted), "in 1.5 s each was tried twice"
    disk.free()
    bench.turn()
    assert process.tasks == {}
    bench.clock.pass_ms(round(TRY_EVERY_S * 1_000))
    bench.turn()
    assert sorted(process.tasks) == wanted
    assert not process.awaited
    assert snapshot(process, "first").without_room == []


def test_a_folder_that_a_full_disk_does_not_let_be_bound_is_waited_for_as_tasks_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(_: MemoryFiles, log_id: str) -> None:
        tried.append(log_id)
        raise DiskFull(runtime.FOLDER, None, OSError("no room"))

    with monkeypatch.context() as patched, structlog.testing.capture_logs() as said:
        patched.setattr(MemoryFiles, "bind", refuse)
        bench.turn(30)
    assert len(tried) == 2, "in 1.5 s"
    assert [line["rests"] for line in said if line.get("error") == "DiskFull"] == [runtime.FOLDER]
    assert "goes on by itself" in bench.process.awaited[runtime.FOLDER]
    assert snapshot(bench.process, "first").without_room == [Rests(runtime.FOLDER, "", None)]
    bench.clock.pass_ms(round(TRY_EVERY_S * 1_000))
    bench.turn()
    assert bench.process.tasks
    assert not bench.process.awaited


def test_a_full_outbox_pauses_the_input_until_it_has_drained(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LARGEST_OUTBOX", 3)
    bench.turn()
    process = bench.process
    bench.put(*[predicted(n) for n in range(1, 5)])
    process.read(0.0, 4)
    process.advance(TASK, 4)
    bench.put(*[predicted(n) for n in range(5, 9)])
    assert not process.advance(TASK, 4)
    for _ in range(3):
        process.read(0.0)
    assert process.reader.position(JOINS_TP) == 4
    process.publish()
    process.publish()
    bench.turn(5)
    assert seen(process.tasks[TASK]) == [f"r{n}" for n in range(1, 9)]


def test_an_entry_that_has_to_wait_is_kept_and_taken_later(bench: Bench) -> None:
    bench.put(predicted(1, control=3))
    bench.turn()
    assert bench.process.pending
    bench.put(b.message(b.tick()), tp=CONTROL_TP)
    bench.turn(5)
    assert (seen(bench.process.tasks[TASK]), bench.process.pending) == (["r1"], 0)


def test_no_entry_is_taken_before_the_definitions_that_it_shows_are_worked_in(bench: Bench) -> None:
    """A scheduler may let a task advance before the turn's own reconciling."""
    bench.turn()
    second = b.message(b.applied(b.model(name="second"), request_id="q2"))
    bench.put(second, tp=CONTROL_TP)
    bench.put(*both_marked(b.T0_MS, control=3))
    bench.process.read(0.0)
    bench.process.advance(TASK, 10)
    assert any("second" in task for task in bench.process.tasks) or any(
        "second" in why for why in bench.process.awaited.values()
    )


# --- followers


def test_followers_hear_what_readers_accept_and_every_mark() -> None:
    follower, raw = Followed(f"predictions.{b.MODEL}.v1"), Followed(f"predictions.{b.MODEL}.v1")

    def followed(process: Process) -> Followed:
        return follower

    def followed_raw(process: Process) -> Followed:
        return raw

    bench = Bench(followers=(followed,), raw_followers=(followed_raw,))
    bench.found()
    tp = TopicPartition(follower.topic, 0)
    bench.put(predicted(1), predicted(1), predicted(3), *both_marked(b.T0_MS), Encoded(None, b"\xff", ()), tp=tp)
    bench.put(predicted(2), predicted(3), tp=tp)
    bench.turn()
    assert [m.sequence for m in follower.messages] == [1, 2, 3]
    assert len(follower.marks) == 2
    assert len(raw.records) == 8
    assert bench.process.applied()[tp] == 8


def test_a_follower_of_a_tasks_input_begins_at_the_beginning_after_a_restart() -> None:
    heard: list[Followed] = []

    def follow(process: Process) -> Followed:
        heard.append(Followed(JOINS))
        return heard[-1]

    bench = Bench(followers=(follow,))
    bench.found()
    bench.put(predicted(1), predicted(2), labelled(1))
    bench.turn()
    bench.started()
    bench.put(predicted(3))
    bench.turn()
    assert [m.id for m in heard[1].messages] == [m.id for m in (predicted(1), predicted(2), labelled(1), predicted(3))]
    assert seen(bench.process.tasks[TASK]) == ["r1", "r2", "l1", "r3"]


# --- what is published from outside


def test_what_is_said_from_outside_goes_again_until_it_is_acknowledged(bench: Bench) -> None:
    bench.turn()
    landed: list[int] = []
    bench.broker.away = True
    bench.process.outside.publish(CONTROL, b.drift(), event_id="e1", time_ms=b.T0_MS, landed=landed.append)
    assert bench.process.outside.pending == 1
    bench.broker.away = False
    bench.turn()
    assert (landed, bench.process.outside.pending) == ([2], 0)
    assert bench.process.history.position == 3


def test_a_wall_tick_waits_for_what_lies_in_the_backlog() -> None:
    """Fetched but not taken: older than the tick, so the tick must not be marked before it."""
    bench = Bench()
    bench.service = Service("ingestion", {"intake": HEAD, "accept": Step("accept", None)})
    bench.started()
    bench.broker.admin().create(CONTROL.name, 1, {})
    declared = [wall_source(), b.label_source(time={"field": "at", "clock": "wall"}), *b.declared()[2:]]
    for record in control_log(definitions=declared):
        bench.broker.append(CONTROL_TP, record.key, record.value, record.headers)
    bench.turn()
    process, tp = bench.process, TopicPartition(b.SOURCE, 0)
    for _ in range(3):
        bench.broker.append(tp, None, str(b.T0_MS).encode(), ())
    bench.put(b.message(b.tick(), time_ms=b.T0_MS + 60_000), tp=CONTROL_TP)
    head = process.tasks[f"ingestion/intake/{b.SOURCE}/0"]
    assert isinstance(head, HeadTask)
    shown: list[tuple[int, int]] = []
    for _ in range(6):
        process.read(0.0)
        process.advance(head.spec.id, 1)
        shown.append((head.position, head.watermark_ms - b.T0_MS))
    assert all(watermark_ms == -5_000 for position, watermark_ms in shown if position < 3)
    assert shown[-1] == (3, 55_000)


def test_a_process_waits_for_room_for_its_place_among_the_instances(bench: Bench) -> None:
    bench.started()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench.membership, "members", _no_room)
        bench.turn(5)
        assert bench.process.tasks == {}
        assert "No space left" in bench.process.awaited["its place among the instances of its service"]
    bench.clock.pass_ms(round(TRY_EVERY_S * 1_000))
    bench.turn(5)
    assert TASK in bench.process.tasks
    assert bench.process.awaited == {}


def _no_room() -> Members:
    raise DiskFull("its place", None, OSError(errno.ENOSPC, "No space left on device"))
