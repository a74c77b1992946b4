"""One round: a platform of its own is struck while records flow, settles, and its logs and files are checked.

A round bounds what restarts read again and what the checker holds in memory. It depends on nothing but its seed and
its size, so that it can be run again alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.definitions_in_force import put_in_force
from deploy.local.platform_environment import any_free_ports, process_names
from deploy.local.progress_client import ProgressClient
from deploy.local.settle import DoesNotSettle, Settling
from shared.contracts.envelope import Message
from shared.contracts.flow import RecordAccepted
from shared.contracts.topics import CONTROL, RECORDS
from shared.runtime.kafka_settings import KafkaSettings
from tests.chaos.launcher import PreparedServices
from tests.chaos.processes import NotUp, Processes
from tests.chaos.schedule import INSTANCES, schedule
from tests.chaos.stream import Stream
from tests.chaos.striker import Dealt, Striker
from tests.e2e.evidence_of_run import gathered_from
from tests.scenarios.set_aside import letters
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS, TRUTHS, definitions

Tell = Callable[[str], None]


@dataclass
class Round:
    """What came of it. `missed`: planned faults that did not fire; `violations`: what does not hold afterwards.

    `repeated`: events that stand in a log again, or behind a gap, and count for nobody: what the faults left there.
    """

    seed: int
    kills: int
    dealt: list[Dealt] = field(default_factory=list[Dealt])
    violations: list[str] = field(default_factory=list[str])
    published: int = 0
    accepted: int = 0
    decisions: int = 0
    versions: int = 0
    repeated: int = 0
    spent_s: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def deaths(self) -> int:
        """Processes that were killed."""
        return sum(one.strike.deaths for one in self.dealt if not one.failure)

    @property
    def missed(self) -> list[str]:
        return [f"{d.strike.kind} of {', '.join(d.strike.victims)}: {d.failure}" for d in self.dealt if d.failure]

    @property
    def holds(self) -> bool:
        """Every planned fault fired, and nothing is violated."""
        return not self.missed and not self.violations


def run_round(
    seed: int, kills: int, bootstrap: str, prepared: PreparedServices, folder: Path, told: Callable[[Dealt], None]
) -> Round:
    """Play it on a broker that may hold other rounds. `told` hears of each strike, on any thread."""
    found = Round(seed, kills)
    prefix = f"{folder.name}-{seed}-{time.time_ns() // 1_000_000}."
    kafka = KafkaSettings(bootstrap=bootstrap, topic_prefix=prefix)
    ports = any_free_ports(INSTANCES)
    processes = Processes(prepared, ports, folder, bootstrap, prefix, seed)
    try:
        stream = Stream(seed, kafka, processes)
        with _timed(found, "starting"):
            for name in process_names(INSTANCES):
                processes.start(name)
            processes.await_up(process_names(INSTANCES))
            put_in_force(ports.urls["console"], definitions(), by="chaos")
            processes.await_up(process_names(INSTANCES))
            stream.start()
        with _timed(found, "striking"):
            try:
                found.dealt = Striker(processes, stream, folder, told).deal(schedule(seed, kills))
            finally:
                stream.stop()
            processes.calm()
        with _timed(found, "settling"), ProgressClient(ports.urls) as client:
            stream.finish(Settling(list(ports.urls), client.ask))
        with _timed(found, "checking"):
            _check(found, folder, kafka, stream.published)
    except (DoesNotSettle, NotUp) as error:
        found.violations.append(str(error))
    finally:
        processes.close()
    found.violations += processes.surprises
    return found


def _check(found: Round, folder: Path, kafka: KafkaSettings, published: Mapping[str, int]) -> None:
    evidence = gathered_from(folder, kafka)
    history = evidence.history
    found.violations += evidence.violations()
    for topic in (PAYMENTS, TRUTHS):
        stand = sum(len(history.logs[tp]) for tp in history.partitions(topic))
        if stand != published.get(topic, 0):
            found.violations.append(f"{published.get(topic, 0)} records were published to {topic}, {stand} stand there")
    for service in INSTANCES:
        found.violations += [f"{one.task} buried {one.tp} {one.offset}" for one in letters(history, service)]
    found.published = sum(published.values())
    found.accepted = sum(
        sum(1 for _ in history.events(RECORDS.of(source).name, RecordAccepted)) for source in (PAYMENTS, TRUTHS)
    )
    found.decisions = len(history.control.entries)
    found.versions = len(history.newest.models[MODEL].versions)
    found.repeated = _repeated(history)


def _repeated(history: TopicHistory) -> int:
    count = 0
    for tp in history.logs:
        if tp.topic != CONTROL.name:
            derived = sum(
                isinstance(entry, Message) and entry.sequence is not None for _, entry in history.read_entries(tp)
            )
            count += derived - sum(read.message.sequence is not None for read in history.accepted(tp))
    return count


@contextmanager
def _timed(found: Round, what: str) -> Generator[None]:
    began_s = time.monotonic()
    try:
        yield
    finally:
        found.spent_s[what] = found.spent_s.get(what, 0.0) + time.monotonic() - began_s
