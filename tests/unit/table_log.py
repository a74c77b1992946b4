"""The table of a view as its owner writes it, and whoever reads it, on a broker in memory."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.simulation.memory_store import SimulatedStore
from shared.contracts.control import TableCopied
from shared.contracts.topics import FEATURES
from shared.runtime.log import TopicPartition
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.table_copies import Rows, TableCopies, TableRow
from shared.runtime.tables import TableFollower
from tests import builders as b
from tests.memory_host import MemoryHost, settle

TOPIC = FEATURES.of(b.VIEW).name
TOPIC_ID = f"{TOPIC} 1"
LOG = TopicPartition(TOPIC, 0)
OWNER = f"features/compute/records.{b.SOURCE}.v1/0"
READER = Service("reader", followers=(TableFollower,))


class TableLog:
    """A platform with a view, whose table a test writes. `rows` is what its log says."""

    def __init__(self) -> None:
        self.store = SimulatedStore()
        self.host = MemoryHost(artifacts=self.store)
        self.host.broker.admin().create(TOPIC, 1, {})
        self.host.decide(b.founded(), b.applied(b.source(), b.view()))
        self.rows: Rows = {}
        self._sequence = 0

    def write(self, changes: Iterable[tuple[str, int]]) -> None:
        """Rows of (entity, number), a second of event time apart; number 0 forgets the entity."""
        for entity, number in changes:
            self._sequence += 1
            time_ms, state = b.T0_MS + 1_000 * self._sequence, {"n": number} if number else {}
            event = b.windows(entity=entity, state=state)
            self.host.write(TOPIC, b.message(event, source=OWNER, sequence=self._sequence, key=entity, time_ms=time_ms))
            if number:
                self.rows[entity] = TableRow(state, time_ms)
            else:
                self.rows.pop(entity, None)

    def copy(self) -> TableCopied:
        """A copy of all that is written, told of in control.v1."""
        position, copies = self.host.broker.log(LOG).end, TableCopies(self.store, b.founded().log_id)
        reference = copies.keep(b.VIEW, 0, position, self.rows)
        copied = TableCopied(
            view=b.VIEW, partition=0, position=position, sequences={OWNER: self._sequence}, rows=len(self.rows),
            table=reference, topic_id=self.host.broker.admin().topic_id(TOPIC),
        )  # fmt: skip
        self.host.decide(copied)
        return copied

    def make_anew(self) -> None:
        """Somebody deletes the topic, and its owner goes on in one of the same name."""
        self.host.broker.delete(TOPIC)
        self.host.broker.admin().create(TOPIC, 1, {})

    def damage(self, copied: TableCopied) -> None:
        """The store gives something else."""
        self.store.write(copied.table.uri, b"something else")

    def reader(self) -> Process:
        """Somebody who reads the table, and comes now."""
        process = self.host.start(READER)
        self.turn(process)
        return process

    def turn(self, process: Process) -> None:
        """Until nothing moves, however long it rests between."""
        for _ in range(3):
            self.host.clock.pass_ms(1_100)
            settle(process)


def rows_of(process: Process) -> Rows:
    """The rows that a process knows."""
    return TableFollower.of(process).rows(LOG)


def many(count: int, first: int = 1) -> list[tuple[str, int]]:
    """`count` rows of ten entities."""
    return [(f"c{n % 10}", n) for n in range(first, first + count)]
