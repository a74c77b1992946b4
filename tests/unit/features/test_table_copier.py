"""Features copies its tables: when, by whom, what happens when the store is away, and what is removed."""

from __future__ import annotations

import pytest

from deploy.simulation.memory_store import SimulatedStore
from services.features.app import build
from services.features.settings import FeaturesSettings
from services.features.table_copier import CopyPolicy, TableCopier
from shared.contracts.control import TableCopied
from shared.contracts.platform import TableCopy
from shared.contracts.topics import FEATURES, RECORDS
from shared.runtime.log import TopicPartition
from shared.runtime.process import Process
from shared.runtime.table_copies import decoded
from shared.runtime.tables import TableFollower
from tests import builders as b
from tests.memory_host import MemoryHost, settle
from tests.unit.features.calls import record

DAY_MS, MINUTE_MS = 86_400_000, 60_000
INPUT = RECORDS.of(b.SOURCE).name
WRITER = f"ingestion/accept/intake.{b.SOURCE}.v1/0"
LOG = TopicPartition(FEATURES.of(b.VIEW).name, 0)


class Copying:
    """Features, with its input written as ingestion would write it. A copy every ten entries, or every day."""

    def __init__(self, apart_s: float = 0.0) -> None:
        self.apart_s = apart_s
        self.store = SimulatedStore()
        self.host = MemoryHost(artifacts=self.store)
        self.host.broker.admin().create(INPUT, 1, {})
        self.host.decide(b.founded(), b.applied(b.source(), b.view()))
        self.sequence = 0
        self.process = self.start()

    def start(self) -> Process:
        settings = FeaturesSettings(entries_between_table_copies=10, table_copies_apart_s=self.apart_s)
        process = self.host.start(build(settings))
        settle(process)
        return process

    def take(self, count: int, key: str = "c1") -> None:
        """Records of one entity, so that each is an entry of the table's log and all of them one row."""
        for _ in range(count):
            self.write(key)
        self.settle()

    def write(self, key: str = "c1") -> None:
        """One record, which nobody has taken yet."""
        self.sequence += 1
        taken = record(f"t{self.sequence}", b.T0_MS + 1_000 * self.sequence, key=key)
        self.host.write(INPUT, taken._replace(source=WRITER, sequence=self.sequence))

    def settle(self) -> None:
        self.host.clock.pass_ms(1_100)
        settle(self.process)

    def copied(self) -> list[TableCopied]:
        events = [message.event for message in self.host.events("control.v1")]
        return [event for event in events if isinstance(event, TableCopied)]

    def positions(self) -> list[int]:
        return [copied.position for copied in self.copied()]

    def kept(self) -> list[str]:
        return self.store.names(f"{self.process.history.log_id}/tables")


@pytest.mark.parametrize(
    ("position", "rows", "copied", "later_ms", "due"),
    [
        (0, 0, None, 0, False),  # nothing stands in the log
        (1, 1, None, 0, True),  # the first copy comes at once: the age of the next is counted from it
        (10, 5, 10, 5 * DAY_MS, False),  # nothing new
        (19, 5, 10, 0, False),
        (20, 5, 10, 0, True),
        (59, 50, 10, 0, False),  # as many entries as rows: a copy costs what it saves
        (60, 50, 10, 0, True),
        (11, 50, 10, DAY_MS - 1, False),
        (11, 50, 10, DAY_MS, True),
        (8, 5, 10, 5 * DAY_MS, False),  # somebody else is further
    ],
)
def test_when_a_copy_is_due(position: int, rows: int, copied: int | None, later_ms: int, due: bool) -> None:
    copy = None if copied is None else TableCopy(copied, {}, 1, b.reference(), b.T0_MS)
    assert CopyPolicy(10, DAY_MS, 0).due(position, rows, copy, b.T0_MS + later_ms) == due


@pytest.mark.parametrize(
    ("later_ms", "due"),
    [(0, False), (MINUTE_MS - 1, False), (MINUTE_MS, True), (-1, True)],
    ids=["at once", "within the minute", "after it", "the clock of who made the last one is ahead"],
)
def test_copies_are_apart_however_fast_the_log_grows(later_ms: int, due: bool) -> None:
    copy = TableCopy(10, {}, 1, b.reference(), b.T0_MS)
    assert CopyPolicy(10, DAY_MS, MINUTE_MS).due(1_000_000, 5, copy, b.T0_MS + later_ms) == due


def test_copies_come_with_the_first_entry_after_so_many_and_after_a_day() -> None:
    made = Copying()
    made.take(1)
    assert made.positions() == [1]
    made.take(9)
    assert made.positions() == [1]
    made.take(1)
    assert made.positions() == [1, 11]
    made.take(1)
    made.host.clock.pass_ms(DAY_MS)
    made.settle()
    assert made.positions() == [1, 11, 12]
    made.host.clock.pass_ms(DAY_MS)
    made.settle()
    assert made.positions() == [1, 11, 12]
    newest = made.copied()[-1]
    assert (newest.rows, newest.sequences) == (1, {f"features/compute/{INPUT}/0": 12})
    assert decoded(made.store.get(newest.table)) == TableFollower.of(made.process).rows(LOG)


def test_traffic_makes_no_more_than_a_copy_a_minute() -> None:
    made = Copying(apart_s=FeaturesSettings().table_copies_apart_s)
    for _ in range(11):
        made.take(20)
        assert made.process.doing() == []  # it has settled: nothing waits for the minute to be over
        made.host.clock.pass_ms(10_000 - 1_100)
    assert len(made.positions()) == 2


def test_the_furthest_two_are_kept_and_what_nobody_was_told_of_goes_with_the_older_ones() -> None:
    made = Copying()
    made.take(1)
    made.store.write(f"{made.process.history.log_id}/tables/{b.VIEW}/0/{5:019}-{'0' * 64}.jsonl.zst", b"of a crash")
    for _ in range(4):
        made.take(12)
    assert len(made.positions()) == 5
    assert [int(name.rpartition("/")[2][:19]) for name in made.kept()] == made.positions()[-2:]


def test_while_the_store_is_away_it_is_said_and_tried_again() -> None:
    made = Copying()
    made.take(1)
    made.store.away = True
    for _ in range(30):
        made.write()
    for _ in range(20):
        made.process.turn(0.0)
    assert made.positions() == [1]
    [doing] = made.process.doing()
    assert LOG.topic in doing
    assert "object store" in doing
    made.store.away = False
    made.settle()
    assert made.positions() == [1, 31]
    assert made.process.doing() == []


def test_a_copy_that_was_stored_and_not_told_of_is_made_again_after_a_crash() -> None:
    made = Copying()
    made.take(1)
    copier = next(worker for worker in made.process.workers if isinstance(worker, TableCopier))
    made.write()
    settle(made.process)
    made.host.clock.pass_ms(DAY_MS)
    copier.turn()  # it begins
    copier.turn()  # and is told of, in a queue that dies with the process
    assert made.process.outside.pending == 1
    made.process = made.start()
    made.settle()
    assert made.positions() == [1, 2]


def test_of_two_owners_the_first_copy_of_a_position_counts_and_they_are_the_same() -> None:
    made = Copying()
    made.take(1)
    made.take(15)
    first = made.copied()[-1]
    other = made.host.start(build(FeaturesSettings(entries_between_table_copies=10, table_copies_apart_s=0)), "1")
    settle(other)
    job = next(worker for worker in other.workers if isinstance(worker, TableCopier))._begun(LOG)
    assert job is not None
    assert job.stored.result() == first.table
    made.host.decide(first.model_copy(update={"table": b.reference(uri="another")}))
    made.settle()
    assert made.process.history.newest.tables[b.VIEW, 0][-1].table == first.table
