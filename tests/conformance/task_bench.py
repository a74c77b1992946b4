"""Ingestion as it runs, on any broker: two real tasks a partition, killed, started again and read as readers read."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import orjson

from services.ingestion.app import build
from services.ingestion.settings import IngestionSettings
from shared.contracts.control import Tick
from shared.contracts.definitions import Clock, FeatureView
from shared.contracts.envelope import Encoded, Mark, Message, decode, encode
from shared.contracts.errors import UnreadableEvent
from shared.contracts.flow import RecordAccepted
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL, INTAKE, RECORDS, dead_letters
from shared.runtime.acceptance import Acceptance
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.folder_members import FolderMembers
from shared.runtime.host import Host
from shared.runtime.http_server import Health
from shared.runtime.kafka_driver import Driver, SystemClock
from shared.runtime.log import Broker, BrokerAway, DamagedBatch, LogRecord, SendError, TopicPartition, Writer
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.task_folder import TaskFolder
from shared.runtime.to_the_end import to_the_end
from tests import builders as b

PARTITIONS = 2
KEYS = 5
TOPIC, ACCEPTED, TAKEN = b.SOURCE, RECORDS.of(b.SOURCE).name, INTAKE.of(b.SOURCE).name
DEAD = dead_letters("ingestion")
LOG_ID = "11111111-1111-8111-8111-111111111111"
PATIENCE_S = 60.0
SILENT_S = 30.0


class Accepted(NamedTuple):
    """A record as a reader of `records.transactions.v1` accepts it: its number, and the partition that it stands in."""

    number: int
    partition: int


def user_record(number: int) -> tuple[TopicPartition, bytes, bytes]:
    """Record `number` as a client writes it: where to, under which key, and its bytes. A key keeps to a partition."""
    key = number % KEYS
    value = {
        "transaction_id": f"t{number}", "card_id": f"c{key}", "at": b.T0_MS + number, "amount": 1.5,
        "category": "food",
    }  # fmt: skip
    return TopicPartition(TOPIC, key % PARTITIONS), b"c%d" % key, orjson.dumps(value)


def ingestion() -> Service:
    """The service as it runs, with small segments."""
    return build(IngestionSettings(rows_per_segment=100))


class TaskBench:
    """A platform of one source on `broker`, and ingestion on it. `client` writes the user's records: another network.

    `folder` holds the state of the service, `views` are defined besides. Close it in the end.
    """

    def __init__(self, broker: Broker, client: Broker, folder: Path, views: Sequence[FeatureView] = ()) -> None:
        self.broker, self.client, self._views = broker, client, views
        self.folder = folder / "state"
        self._store = folder / "objects"
        self._store.mkdir()
        self.passed_over: list[DamagedBatch] = []
        self._executor = ThreadPoolExecutor(1)
        self._ends = ExitStack()
        self._ends.callback(self._executor.shutdown)
        self._writer: Writer | None = None
        self.found(LOG_ID)
        self._memberships: dict[Process, FolderMembers] = {}
        self._beside: list[Driver] = []
        self.driver = self._started("0", ingestion())
        self.turn_until(lambda: len(self.process.tasks) == 2 * PARTITIONS, "all tasks are open")

    @property
    def process(self) -> Process:
        """The service as it runs now."""
        return self.driver.process

    # --- what the world does

    def publish(self, numbers: Iterable[int]) -> None:
        """As a client does; returns once the broker has them."""
        for number in numbers:
            tp, key, value = user_record(number)
            self.write(tp, Encoded(key, value, ()))
        self.flush()

    def write(self, tp: TopicPartition, entry: Encoded) -> None:
        """Any bytes into any log."""
        self._client_writer().send(tp, entry.key, entry.value, entry.headers, _must_stand)

    def flush(self) -> None:
        self._client_writer().flush(PATIENCE_S)

    def kill(self) -> None:
        """The process is gone: it stores nothing and says nothing any more."""
        self._kill(self.driver)

    def start(self) -> None:
        """A new process on the same files, as after a kill."""
        self.driver = self._started("0", ingestion())

    def start_beside(self, instance: str, service: Service | None = None) -> Process:
        """Another instance, or one of a later release, on a disk of its own."""
        driver = self._started(instance, service or ingestion())
        self._beside.append(driver)
        return driver.process

    def end_beside(self, process: Process, *, killed: bool) -> None:
        """It stops, in order or not."""
        [driver] = [driver for driver in self._beside if driver.process is process]
        self._beside.remove(driver)
        if killed:
            self._kill(driver)
        else:
            process.close()
            del self._memberships[process]

    def copy_state(self, to: Path) -> None:
        """The files as they stand now, between two turns."""
        shutil.copytree(self.folder, to)

    def restore_state(self, copy: Path) -> None:
        """In the place of the newer files, while no process works on them."""
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)

    def found(self, log_id: str) -> None:
        """Begin control.v1 with this id and the definition of the source, and make the user's topic."""
        self._end_client()
        admin = self.client.admin()
        admin.create(CONTROL.name, 1, {})
        admin.create(TOPIC, PARTITIONS, {})
        admin.close()
        for event in (b.founded(log_id), b.applied(b.source(partitions=PARTITIONS), *self._views)):
            message = b.message(event, id=derived_id("control", event.ce_type))
            self.write(TopicPartition(CONTROL.name, 0), encode(message))
        self.flush()

    # --- the service runs

    def turn(self, wait_s: float = 0.02) -> None:
        """One turn of the driver's loop. A broker that is away is waited for, as the driver does."""
        for driver in (self.driver, *self._beside):
            try:
                driver._turn_on_our_log(wait_s)
            except BrokerAway as away:
                driver._say_away(away)
                time.sleep(0.05)

    def turn_until(self, reached: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Turn until then; fail with `what` after `patience_s`."""
        until_s = time.monotonic() + patience_s
        while not reached():
            assert time.monotonic() < until_s, f"not within {patience_s} s: {what}; waiting: {self.process.awaited}"
            self.turn()

    def turn_for(self, seconds: float) -> None:
        """Turn for so long, whatever comes of it."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.turn()

    def turn_until_away(self) -> None:
        """Turn until the service says that the broker is away."""
        self.turn_until(lambda: "kafka" in self.driver.health.reasons, "the broker is missed")

    def run_dry(self, process: Process | None = None) -> None:
        """Turn until all that the user's topic holds now is taken, and what follows from it is sent and taken.

        `process`: one that was started beside, whose work is looked at.
        """
        process = process or self.process
        reader = process.reader
        heads, token = [TopicPartition(TOPIC, p) for p in range(PARTITIONS)], reader.fetch_token()

        def done() -> bool:
            if process.pending or not all(reader.end_reached_since(tp, token) for tp in heads):
                return False
            sent = {where: end for where, end in process.sent().items() if where[0] == TAKEN}
            return all(process.applied().get(where, 0) >= end for where, end in sent.items())

        self.turn_until(done, "everything is worked off")

    def tick(self, adopt: int) -> None:
        """As a replay does behind what it published: the control position `adopt` takes effect with what comes next."""
        ends = {TOPIC: {tp.partition: len(records) for tp, records in self.log(TOPIC).items()}}
        tick = Tick(clock=Clock.EVENTS, sources=(b.SOURCE,), ends=ends, adopt=adopt)
        self.write(TopicPartition(CONTROL.name, 0), encode(b.message(tick, id=derived_id("tick", str(adopt)))))
        self.flush()

    # --- what came of it

    def log(self, topic: str) -> dict[TopicPartition, list[LogRecord]]:
        """All that stands in a topic."""
        admin = self.client.admin()
        tps = [TopicPartition(topic, p) for p in range(admin.partitions(topic) or 0)]
        admin.close()
        found: dict[TopicPartition, list[LogRecord]] = {tp: [] for tp in tps}
        reader = self.client.reader()
        reader.assign(dict.fromkeys(tps, 0))
        for tp, records in to_the_end(reader, tps, silent_s=SILENT_S):
            found[tp] += records
        reader.close()
        return found

    def accepted(self) -> list[Accepted]:
        """The records as a reader accepts them, log by log."""
        return [Accepted(_number(event), partition) for partition, event in self._accepted()]

    def amounts(self) -> dict[int, object]:
        """What each accepted record says."""
        return {_number(event): event.value["amount"] for _, event in self._accepted()}

    def _accepted(self) -> Iterator[tuple[int, RecordAccepted]]:
        for tp, records in self.log(ACCEPTED).items():
            acceptance = Acceptance()
            for message in _messages(records):
                if acceptance.accepts(message) and isinstance(message.event, RecordAccepted):
                    yield tp.partition, message.event

    def times_taken(self) -> dict[int, int]:
        """How often each record came to the task that accepts it, as that counts: what it skipped is not in it."""
        found: dict[int, int] = {}
        for task in self.process.tasks.values():
            if task.spec.step == "accept":
                found |= {int(key.removeprefix("t")): int(times) for key, times in task.file.states()}
        return found

    def sequences(self, topic: str) -> dict[tuple[int, str], list[int]]:
        """Numbers of events as they stand in the logs of a topic, by partition and task: repetitions and gaps too."""
        found: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for tp, records in self.log(topic).items():
            for message in _messages(records):
                if message.sequence is not None:
                    found[tp.partition, message.source].append(message.sequence)
        return dict(found)

    def assert_each_once_and_in_order(self, numbers: Iterable[int]) -> None:
        """0 lost, 0 doubled, in order: for the task between the two logs, and for whoever reads the second."""
        wanted = list(numbers)
        assert self.times_taken() == dict.fromkeys(wanted, 1)
        self.assert_accepted_once_and_in_order(wanted)

    def assert_accepted_once_and_in_order(self, numbers: Iterable[int]) -> None:
        """0 lost, 0 doubled, and the records of one key in the order in which they were published."""
        accepted = self.accepted()
        assert sorted(one.number for one in accepted) == sorted(numbers)
        for key in range(KEYS):
            of_key = [one for one in accepted if one.number % KEYS == key]
            assert len({one.partition for one in of_key}) <= 1
            assert [one.number for one in of_key] == sorted(one.number for one in of_key)

    def close(self) -> None:
        """Stop the service and give everything back."""
        for driver in (self.driver, *self._beside):
            self._kill(driver)
        self._end_client()
        self._ends.close()

    def driver_of(
        self, service: Service, folder: Path, artifacts: ArtifactStore | None = None, instance: str = "0"
    ) -> Driver:
        """A process of any service on the same broker; of the same object store, unless another is given."""
        members = FolderMembers(self.folder.with_name(f"instances of {service.name} {service.release}"), instance)
        host = Host(
            broker=self.broker, clock=SystemClock(), files=TaskFolder(folder), executor=self._executor,
            artifacts=artifacts or ArtifactStore.at(self._store.as_uri()), instance=instance,
            passed_over=self.passed_over.append, membership=members,
        )  # fmt: skip
        process = Process(service, host)
        self._memberships[process] = members
        return Driver(process, Health(service.name))

    def _started(self, instance: str, service: Service) -> Driver:
        folder = self.folder if instance == "0" else self.folder.with_name(f"state of {instance}")
        return self.driver_of(service, folder, instance=instance)

    def _kill(self, driver: Driver) -> None:
        process = driver.process
        for worker in process.workers:
            worker.close()
        for task in process.tasks.values():
            task.file.close()
        for port in (process.reader, process.writer, process.admin):
            port.close()
        members = self._memberships.pop(process, None)
        if members is not None:
            members.leave()

    def _end_client(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _client_writer(self) -> Writer:
        if self._writer is None:
            self._writer = self.client.writer()
        return self._writer


def _number(event: RecordAccepted) -> int:
    return int(event.record_id.removeprefix("t"))


def _must_stand(_offset: int | None, error: SendError | None) -> None:
    assert error is None, error


def _messages(records: Iterable[LogRecord]) -> Iterable[Message]:
    for record in records:
        try:
            entry = decode(record.key, record.value, record.headers)
        except UnreadableEvent:
            continue
        if not isinstance(entry, Mark):
            yield entry
