"""From a task's outbox into the log: what a crash, a failed send or a second owner may do, and what not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from shared.contracts.envelope import Mark, Message, decode
from shared.contracts.errors import ForeignLog
from shared.runtime import memory_log
from shared.runtime.acceptance import Acceptance
from shared.runtime.log import BrokerAway, RecordTooLarge, TopicPartition
from shared.runtime.memory_log import Fate, FateOf, MemoryBroker
from shared.runtime.relay import EventRefused, Relay
from shared.runtime.task_file import FileInUse, LostOwnership, TaskFile
from shared.runtime.task_folder import TaskFolder
from tests import builders as b
from tests.unit.runtime.toy_task import OUTCOMES_TOPIC, both_marked, open_task, predicted, seen, take

TP = TopicPartition(OUTCOMES_TOPIC.name, 0)


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    made.admin().create(TP.topic, 1, {})
    return made


def on_disk() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def fates(*drawn: Fate) -> FateOf:
    left = list(drawn)
    return lambda tp, key, value: left.pop(0) if left else Fate.DELIVER


def numbers(broker: MemoryBroker) -> list[int | None]:
    """The sequences in the log, as they stand there."""
    entries = (decode(r.key, r.value, r.headers) for r in broker.history(TP))
    return [entry.sequence for entry in entries if isinstance(entry, Message)]


def accepted(broker: MemoryBroker) -> list[int | None]:
    acceptance = Acceptance()
    entries = (decode(r.key, r.value, r.headers) for r in broker.history(TP))
    return [m.sequence for m in entries if isinstance(m, Message) and acceptance.accepts(m)]


def deliver(relay: Relay, broker: MemoryBroker, turns: int = 5) -> None:
    for _ in range(turns):
        relay.send()
        relay._writer.drain(0)


def test_a_crash_before_the_commit_leaves_nothing() -> None:
    disk = on_disk()
    task = open_task(TaskFile("join", None, disk))
    disk.execute("CREATE TRIGGER cut BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'power cut'); END")
    with pytest.raises(sqlite3.IntegrityError, match="power cut"):
        take(task, predicted(1, entity=f"due:{b.T0_MS}"))
    disk.execute("DROP TRIGGER cut")
    again = open_task(TaskFile("join", None, disk))
    assert (again.position, seen(again), list(again.timers()), len(again.unsent)) == (0, [], [], 0)
    take(again, predicted(1))
    assert seen(again) == ["r1"]


def test_a_crash_between_the_commit_and_the_relay_loses_nothing(broker: MemoryBroker) -> None:
    disk = on_disk()
    take(open_task(TaskFile("join", None, disk)), predicted(1), predicted(2))
    again = open_task(TaskFile("join", None, disk))
    take(again, predicted(3))
    deliver(Relay(again, broker.writer()), broker)
    assert numbers(broker) == [1, 2, 3]


def test_a_crash_after_the_send_and_before_the_cursor_repeats_what_readers_skip(broker: MemoryBroker) -> None:
    disk = on_disk()
    task = open_task(TaskFile("join", None, disk))
    take(task, predicted(1), predicted(2))
    deliver(Relay(task, broker.writer()), broker)
    again = open_task(TaskFile("join", None, disk))
    take(again, predicted(3))
    deliver(Relay(again, broker.writer()), broker)
    assert numbers(broker) == [1, 2, 1, 2, 3]
    assert accepted(broker) == [1, 2, 3]


def test_the_cursor_that_is_stored_is_not_sent_again(broker: MemoryBroker) -> None:
    disk = on_disk()
    task = open_task(TaskFile("join", None, disk))
    take(task, predicted(1), predicted(2))
    deliver(Relay(task, broker.writer()), broker)
    task.settle_cursor()
    again = open_task(TaskFile("join", None, disk))
    assert (list(again.unsent), again.targets[TP].acked) == ([], 3)  # two events and a mark


@pytest.mark.parametrize(
    "drawn",
    [
        (Fate.FAIL,),
        (Fate.DELIVER, Fate.FAIL),
        (Fate.LOSE_ACK,),
        (Fate.DELIVER, Fate.LOSE_ACK, Fate.DELIVER),
        (Fate.FAIL, Fate.DELIVER, Fate.FAIL, Fate.DELIVER, Fate.LOSE_ACK),
        (Fate.DELAY, Fate.FAIL),
        (Fate.REPEAT, Fate.REPEAT),
    ],
)
def test_after_a_failure_everything_behind_the_cursor_goes_again_in_order(
    broker: MemoryBroker, drawn: Iterable[Fate]
) -> None:
    task = open_task()
    relay = Relay(task, broker.writer(fates(*drawn)))
    take(task, *[predicted(n) for n in range(1, 6)])
    deliver(relay, broker, 10)
    for lane in broker.lanes():
        while broker.delays(lane):
            broker.release(lane)
    deliver(relay, broker, 10)
    assert accepted(broker) == [1, 2, 3, 4, 5]
    assert relay.idle
    assert task.sent_up_to == 5  # five events and a mark


def test_the_cursor_moves_over_the_acknowledged_prefix_only(broker: MemoryBroker) -> None:
    broker.admin().create("monitoring.dead.v1", 1, {})
    task = open_task()
    relay = Relay(task, broker.writer(fates(Fate.DELIVER, Fate.DELAY)))
    take(task, predicted(1), predicted(2, entity="raise"), predicted(3))
    deliver(relay, broker)
    assert numbers(broker) == [1, 2]
    assert task.sent_up_to == 0  # the dead letter between them is not acknowledged
    broker.release(broker.lanes()[0])
    deliver(relay, broker)
    assert task.sent_up_to == 3


def test_the_window_bounds_what_is_in_flight(broker: MemoryBroker) -> None:
    task = open_task()
    writer = broker.writer()
    relay = Relay(task, writer, window=2)
    take(task, *[predicted(n) for n in range(1, 6)])
    assert (relay.send(), writer.in_flight(), relay.send(), relay.pending) == (2, 2, 0, 6)
    deliver(relay, broker)
    assert numbers(broker) == [1, 2, 3, 4, 5]


def test_a_broker_that_is_away_takes_nothing_and_loses_nothing(broker: MemoryBroker) -> None:
    task = open_task()
    relay = Relay(task, broker.writer())
    take(task, predicted(1))
    broker.away = True
    with pytest.raises(BrokerAway):
        relay.send()
    broker.away = False
    deliver(relay, broker)
    assert numbers(broker) == [1]


def test_what_the_runtime_derives_always_fits(broker: MemoryBroker) -> None:
    """The limit of a task lies at or below that of the log, so the relay never meets a record that cannot be sent."""
    task = open_task()
    broker.admin().create("monitoring.dead.v1", 1, {})
    relay = Relay(task, broker.writer())
    take(task, predicted(1, entity="large:1200000"), predicted(2, entity="raise", inputs={"text": "x" * 999_000}))
    deliver(relay, broker)
    assert not isinstance(relay.failure, RecordTooLarge)
    assert (numbers(broker), relay.idle) == ([1], True)
    assert len(broker.history(TopicPartition("monitoring.dead.v1", 0))) == 2


def test_an_event_that_the_broker_finds_too_large_stops_the_service(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_log, "MAX_RECORD_BYTES", 2_000)
    disk = on_disk()
    task = open_task(TaskFile("join", None, disk))
    take(task, predicted(1), predicted(2, entity="large:5000"))
    with pytest.raises(EventRefused, match=rf"{TP.topic}/0.* max\.message\.bytes .* 1048588"):
        deliver(Relay(task, broker.writer()), broker)
    assert accepted(broker) == [1]
    assert len(open_task(TaskFile("join", None, disk)).unsent) == 3  # both events and a mark


# --- one owner


def test_a_second_owner_of_one_file_is_refused_at_its_commit() -> None:
    disk = on_disk()
    first, second = open_task(TaskFile("join", None, disk)), open_task(TaskFile("join", None, disk))
    take(first, predicted(1))
    with pytest.raises(LostOwnership, match="another owner went on"):
        take(second, predicted(1))
    assert len(open_task(TaskFile("join", None, disk)).unsent) == 2  # an event and a mark


def test_an_owner_that_only_says_a_mark_is_noticed_too() -> None:
    disk = on_disk()
    take(open_task(TaskFile("join", None, disk)), *both_marked(b.T0_MS))
    first, second = open_task(TaskFile("join", None, disk)), open_task(TaskFile("join", None, disk))
    assert first.say(0.0)
    with pytest.raises(LostOwnership):
        second.say(0.0)


def test_a_file_on_disk_is_held_by_one_process(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    held = folder.open("monitoring/join/x/0")
    with pytest.raises(FileInUse, match="stop it, or give this one"):
        folder.open("monitoring/join/x/0")
    held.close()
    folder.open("monitoring/join/x/0").close()


def test_state_of_another_log_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    folder.bind("one")
    folder.bind("one")
    file = folder.open("t")
    file.bind("one")
    with pytest.raises(ForeignLog, match="headrace up --fresh"):
        TaskFolder(tmp_path).bind("another")
    with pytest.raises(ForeignLog, match="made beside log one"):
        file.bind("another")
    file.close()


def test_progress_on_disk_is_what_it_was(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    task = open_task(folder.open("t"))
    take(task, predicted(1, entity=f"due:{b.T0_MS + 9}"), *both_marked(b.T0_MS, predictions=1), now_s=1.0)
    task.close()
    again = open_task(folder.open("t"))
    assert (again.position, seen(again), len(again.unsent)) == (3, ["r1"], 2)
    assert (list(again.timers()), again.watermark_ms) == ([(b.T0_MS + 9, "k", "due:x")], b.T0_MS)
    again.close()


def test_followers_of_a_log_that_has_lost_its_beginning_take_the_first_number_as_it_is() -> None:
    late, whole = Acceptance(begins_late=True), Acceptance()
    assert [late.accepts(predicted(n)) for n in (7, 7, 9, 8, 9)] == [True, False, False, True, True]
    assert [whole.accepts(predicted(n)) for n in (2, 1, 2)] == [False, True, True]


def test_a_mark_counts_for_a_follower_once_all_that_it_stands_behind_has_come() -> None:
    late, whole = Acceptance(begins_late=True), Acceptance()
    source = predicted(1).source
    assert [whole.counts(Mark(source, n, b.T0_MS, 0)) for n in (0, 1)] == [True, False]
    assert whole.accepts(predicted(1))
    assert [whole.counts(Mark(source, n, b.T0_MS, 0)) for n in (1, 2)] == [True, False]
    # Where the beginning has expired, what the first mark names came before it.
    assert late.counts(Mark(source, 7, b.T0_MS, 0))
    assert [late.accepts(predicted(n)) for n in (7, 8)] == [False, True]
