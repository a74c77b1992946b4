"""Retention that removed records which a task still needs: said, and stopped. A new task begins where its log does."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from shared.contracts.errors import ForeignLog
from shared.runtime.copies import Copies
from shared.runtime.http_server import Health
from shared.runtime.kafka_driver import Driver
from shared.runtime.log import BrokerAway, LogRecord, OffsetOutOfRange, TopicPartition
from shared.runtime.lost_records import RecordsExpired, ReplacedTopic
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.task_file import FileCopy
from shared.runtime.task_folder import TaskFolder
from tests import builders as b
from tests.memory_host import MemoryHost
from tests.unit.runtime.process_bench import CONTROL_TP, JOINS_TP, STEPS, TASK, Bench, Followed
from tests.unit.runtime.test_head_task import HEAD
from tests.unit.runtime.toy_task import JOINS, control_log, labelled, predicted, seen


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.found()
    return bench


def test_a_task_that_was_away_for_too_long_stops_and_says_what_is_gone(bench: Bench) -> None:
    bench.put(predicted(1), predicted(2))
    bench.turn(5)
    bench.put(*[predicted(n) for n in range(3, 9)])
    bench.broker.expire(JOINS_TP, 6)
    for _ in range(2):  # it is no better after a restart
        with pytest.raises(RecordsExpired) as stopped:
            bench.turn(5)
        said = str(stopped.value)
        assert said.startswith(
            f"{TASK} has read {JOINS}/0 up to 2, and what that log still holds begins at 6: 4 records"
        )
        assert "headrace archive" in said
        assert "docs/operations.md" in said
        assert seen(bench.process.tasks[TASK]) == ["r1", "r2"]
        assert bench.process.tasks[TASK].position == 2, "nothing was skipped"
        bench.started()


def test_a_copy_that_is_older_than_the_beginning_of_its_log_is_refused(bench: Bench) -> None:
    bench.put(predicted(1), predicted(2))
    bench.turn(5)
    image = bench.files.image()  # pyright: ignore[reportAttributeAccessIssue]
    bench.put(predicted(3), predicted(4))
    bench.turn(5)
    bench.broker.expire(JOINS_TP, 4)
    bench.files.put_back(image)  # pyright: ignore[reportAttributeAccessIssue]
    bench.started()
    with pytest.raises(RecordsExpired, match=r"up to 2, .* begins at 4: 2 records"):
        bench.turn(5)


def test_a_hole_in_a_log_of_ours_is_no_silence(bench: Bench) -> None:
    """As compaction leaves it: the positions go on, the records do not."""
    bench.put(predicted(1))
    bench.turn(5)
    bench.put(predicted(2), predicted(3), predicted(4))
    log = bench.broker.log(JOINS_TP)
    poll = bench.process.reader.poll

    def compacted(timeout_s: float, most: int) -> dict[TopicPartition, list[LogRecord]]:
        found = poll(timeout_s, most)
        return {tp: [r for r in records if (tp, r.offset) != (JOINS_TP, 2)] for tp, records in found.items()}

    bench.process.reader.poll = compacted  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(RecordsExpired, match=r"up to 2, .* begins at 3: 1 record that"):
        bench.turn(5)
    assert log.end == 4


def test_a_follower_that_fell_behind_stops_too_and_begins_anew_at_the_next_start() -> None:
    follower = Followed(f"predictions.{b.MODEL}.v1")

    def follow(process: Process) -> Followed:
        return follower

    bench = Bench(followers=(follow,))
    bench.found()
    tp = TopicPartition(follower.topic, 0)
    bench.put(predicted(1), tp=tp)
    bench.turn(5)
    bench.put(predicted(2), predicted(3), predicted(4), tp=tp)
    del bench.process.owned.by_log[tp]
    bench.process.owned.tasks.clear()
    bench.broker.expire(tp, 3)
    with pytest.raises(RecordsExpired, match=r"monitoring, which follows it, has read .* up to 1, .* begins at 3: 2"):
        bench.process.read(0.0)


def test_a_new_task_begins_where_its_log_does_and_keeps_its_baseline(bench: Bench) -> None:
    bench.put(predicted(1), labelled(1), predicted(2), predicted(3), labelled(2))
    bench.broker.expire(JOINS_TP, 3)
    bench.process.read(0.0)
    bench.process.reconcile()
    bench.started()  # before the first commit, and before anything was read
    bench.turn(5)
    assert seen(bench.process.tasks[TASK]) == ["r3", "l2"]
    bench.started()
    bench.put(predicted(4), predicted(6), labelled(3))
    bench.turn(5)
    assert seen(bench.process.tasks[TASK]) == ["r3", "l2", "r4", "l3"]


def test_a_new_head_step_begins_where_the_users_topic_does() -> None:
    bench = Bench()
    bench.service = Service("ingestion", {"intake": HEAD, "accept": STEPS["join"]})
    bench.found()
    users, task = TopicPartition(b.SOURCE, 0), f"ingestion/intake/{b.SOURCE}/0"
    bench.broker.admin().create(b.SOURCE, 1, {})
    for n in range(5):
        bench.broker.append(users, None, str(b.T0_MS + n).encode(), ())
    bench.broker.expire(users, 3)
    bench.started()
    bench.turn(5)
    assert bench.process.tasks[task].position == 5


def test_a_task_that_has_said_something_and_read_nothing_is_not_new() -> None:
    bench = Bench()
    bench.service = Service("ingestion", {"intake": HEAD, "accept": STEPS["join"]})
    bench.found()
    users, task = TopicPartition(b.SOURCE, 0), f"ingestion/intake/{b.SOURCE}/0"
    bench.started()
    bench.turn(5)
    position, ordinal = bench.process.tasks[task].reached
    assert position == 0
    assert ordinal > 0
    for n in range(5):
        bench.broker.append(users, None, str(b.T0_MS + n).encode(), ())
    bench.broker.expire(users, 3)
    bench.started()
    with pytest.raises(RecordsExpired, match=r"up to 0, .* begins at 3: 3 records"):
        bench.turn(5)


def test_a_position_beyond_the_end_is_no_matter_of_retention(bench: Bench) -> None:
    bench.put(predicted(1), predicted(2))
    bench.turn(5)
    bench.broker.log(JOINS_TP).records.clear()
    with pytest.raises(OffsetOutOfRange):
        bench.turn(5)


def test_in_a_log_that_is_not_ours_nothing_is_said_of_retention() -> None:
    host = MemoryHost()
    for record in control_log():
        host.broker.append(TopicPartition("control.v1", 0), record.key, record.value, record.headers)
    process = host.start(Service("toy"))
    process.turn(0.0)
    other = MemoryHost()
    other.decide(b.founded("theirs"))
    driver = Driver(process, Health("toy"))

    def expired(wait_s: float) -> bool:
        process.admin, process.broker = other.broker.admin(), other.broker
        raise RecordsExpired("toy", JOINS_TP, 2, 6)

    process.turn = expired  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ForeignLog, match="forgotten log"):
        driver._turn_on_our_log(0.0)


def test_what_has_read_nothing_yet_begins_anew_where_retention_overtakes_it(bench: Bench) -> None:
    bench.put(predicted(1), labelled(1), predicted(2), predicted(3), labelled(2), predicted(4))
    bench.broker.expire(JOINS_TP, 3)
    bench.process.read(0.0)
    bench.process.reconcile()
    assert bench.process.tasks[TASK].position == 3
    bench.broker.expire(JOINS_TP, 4)
    bench.turn(5)
    assert seen(bench.process.tasks[TASK]) == ["l2", "r4"]
    bench.put(predicted(5), predicted(6))
    bench.started()
    bench.broker.expire(JOINS_TP, 7)
    with pytest.raises(RecordsExpired, match=r"up to 6, .* begins at 7"):
        bench.turn(5)


def test_it_begins_anew_after_a_restart_too(bench: Bench) -> None:
    bench.put(*[predicted(n) for n in range(1, 7)])
    bench.broker.expire(JOINS_TP, 3)
    bench.process.read(0.0)
    bench.process.reconcile()
    bench.broker.expire(JOINS_TP, 5)
    bench.started()
    bench.turn(5)
    assert seen(bench.process.tasks[TASK]) == ["r6"]


@pytest.mark.parametrize("copies", ["none", "damaged"])
def test_a_task_whose_file_was_damaged_is_not_new(copies: str, tmp_path: Path) -> None:
    bench = Bench()
    bench.files = TaskFolder(tmp_path)
    bench.found()
    bench.put(predicted(1), predicted(2))
    bench.started()
    bench.turn(5)
    bench.process.close()
    [path] = [path for path in tmp_path.glob("*.sqlite") if "join" in path.name]
    if copies == "damaged":
        store = Copies(bench.process.artifacts, str(bench.process.history.log_id))
        store.keep(TASK, FileCopy(2, 0, path.read_bytes()))
        [uri] = bench.process.artifacts.names(store.folder(TASK))
        bench.process.artifacts.write(uri, b"other bytes")
        path.unlink()
    else:
        path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    bench.put(predicted(3), predicted(4))
    bench.broker.expire(JOINS_TP, 3)
    for _ in range(2):  # the damaged file is evidence after a restart as well
        records_went = pytest.raises(RecordsExpired, match=r"up to 0, .* begins at 3: 3 records")
        with closing(bench.started()), records_went:
            bench.turn(8)


# --- a topic that was deleted and made anew


def replaced(bench: Bench, entries: int) -> None:
    bench.broker.delete(JOINS)
    bench.broker.admin().create(JOINS, 1, {})
    bench.put(*[predicted(n) for n in range(11, 11 + entries)])


@pytest.mark.parametrize(("restart", "entries"), [(True, 1), (True, 6), (False, 1), (False, 6)])
def test_a_topic_that_was_made_anew_is_not_read_on(bench: Bench, restart: bool, entries: int) -> None:
    bench.put(predicted(1), predicted(2), predicted(3))
    bench.turn(5)
    replaced(bench, entries)
    if restart:
        bench.started()
    bench.turn(5)
    assert TASK not in bench.process.tasks
    assert f"{TASK} has read the topic {JOINS} up to 3, but that was deleted" in bench.process.awaited[TASK]
    others = {task.spec.topic for task in bench.process.tasks.values()}
    assert others, "the others go on"
    labels = TopicPartition(f"records.{b.LABELS}.v1", 0)
    assert labels.topic in others
    before = len(bench.outcomes())
    bench.turn(5)
    assert len(bench.outcomes()) == before


@pytest.mark.parametrize("restart", [True, False])
def test_who_has_read_nothing_of_a_topic_begins_with_the_one_that_was_made_anew(bench: Bench, restart: bool) -> None:
    bench.turn(5)
    assert bench.process.tasks[TASK].position == 0
    replaced(bench, 2)
    if restart:
        bench.started()
    bench.turn(60)
    assert bench.process.tasks[TASK].position == 2
    assert not bench.process.awaited
    bench.broker.delete(JOINS)
    bench.broker.admin().create(JOINS, 1, {})
    bench.put(predicted(13))
    bench.turn(5)
    assert "was deleted" in bench.process.awaited[TASK]


def test_who_follows_a_topic_and_has_read_nothing_begins_with_the_one_that_was_made_anew() -> None:
    follower = Followed("somebody.elses.v1")

    def follow(process: Process) -> Followed:
        return follower

    bench = Bench(followers=(follow,))
    bench.found()
    tp = TopicPartition(follower.topic, 0)
    bench.broker.admin().create(follower.topic, 1, {})
    bench.turn(5)
    bench.broker.delete(follower.topic)
    bench.broker.admin().create(follower.topic, 1, {})
    bench.put(predicted(1), predicted(2), tp=tp)
    bench.turn(60)
    assert len(follower.messages) == 2
    assert not bench.process.awaited
    bench.broker.delete(follower.topic)
    bench.broker.admin().create(follower.topic, 1, {})
    bench.put(predicted(3), tp=tp)
    bench.turn(5)
    assert len(follower.messages) == 2
    assert f"{follower.topic} up to 2, but that was deleted" in "; ".join(bench.process.awaited.values())


def test_control_v1_made_anew_is_not_read_on(bench: Bench) -> None:
    bench.turn(5)
    entries = [record.value for record in bench.broker.history(CONTROL_TP)]
    bench.broker.delete(CONTROL_TP.topic)
    bench.broker.admin().create(CONTROL_TP.topic, 1, {})
    for value in (*entries, *entries):
        bench.broker.append(CONTROL_TP, None, value, ())
    with pytest.raises(ReplacedTopic, match=rf"monitoring, which follows it, .* control.v1 up to {len(entries)}"):
        bench.turn(1)
    assert bench.process.history.position == len(entries)


def test_what_was_fetched_while_nobody_can_say_of_which_topic_it_is_is_fetched_again(bench: Bench) -> None:
    """The broker goes away between the answer to the fetch and the question for the topic."""
    bench.put(predicted(1))
    bench.turn(5)
    bench.broker.admin().create("unrelated", 1, {})
    bench.broker.delete("unrelated")
    bench.put(predicted(2), predicted(3))
    poll = bench.process.reader.poll

    def away_behind_it(wait_s: float, records: int) -> dict[TopicPartition, list[LogRecord]]:
        found = poll(wait_s, records)
        bench.broker.away = True
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench.process.reader, "poll", away_behind_it)
        with pytest.raises(BrokerAway):
            bench.turn(1)
    bench.broker.away = False
    bench.turn(5)
    assert seen(bench.process.tasks[TASK]) == ["r1", "r2", "r3"]
