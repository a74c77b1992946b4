"""One round: a platform of its own is struck while records flow, settles, and its logs and files are checked.

A round bounds what restarts read again and what the checker holds in memory. It depends on nothing but its seed and
its size, so that it can be run again alone.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.definitions_in_force import put_in_force
from deploy.local.platform_environment import any_free_ports, process_names
from deploy.local.progress_client import ProgressClient
from deploy.local.settle import Settling
from shared.contracts.control import (
    ModelRolledBack,
    Phase,
    RolloutEnded,
    RolloutStarted,
    VersionPromoted,
    VersionRegistered,
)
from shared.contracts.envelope import Message
from shared.contracts.flow import RecordAccepted
from shared.contracts.topics import CONTROL, RECORDS
from shared.runtime.kafka_settings import KafkaSettings
from tests.chaos.commands import PERSON
from tests.chaos.http_client import HttpClient, Told
from tests.chaos.http_evidence import contradictions, published_over_http
from tests.chaos.launcher import PreparedServices
from tests.chaos.log_ends import LogEnds
from tests.chaos.processes import Processes
from tests.chaos.schedule import INSTANCES, schedule
from tests.chaos.stream import DEADLINE_H, Stream
from tests.chaos.striker import Dealt, Striker, Woke
from tests.e2e.evidence_of_run import EvidenceOfRun, gathered_from
from tests.scenarios.set_aside import letters
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import PAYMENTS, TRUTHS, definitions

ROLLOUT = {"steps": [20, 100], "alpha": 0.2, "deadline": f"{DEADLINE_H}h", "watch": "5m", "split": "record"}
# The registry takes no verdict on outcomes older than this, and here ten minutes of events go by in four seconds.
LABEL = {"source": TRUTHS, "field": "bad", "joins": "payment", "matures_after": "2m", "expires_after": "2h"}
FAILURE = "failure.txt"  # in the folder of a round that could not be played to its end


@dataclass
class Round:
    """What came of it. `missed`: planned faults that did not fire; `violations`: what does not hold afterwards.

    `repeated`: events that stand in a log again, or behind a gap, and count for nobody: what the faults left there.
    `awake_again`: of each owner that was thought dead, how many of these its tasks said when it woke up.
    `acknowledged`, `answered`, `commands`: records, questions and commands over HTTP; `tried_again`: records that had
    to be sent more than once. `replaced`: versions that took the place of another one. `returned`: of those that were
    rolled back, because a person asked for the version before.
    """

    seed: int
    kills: int
    dealt: list[Dealt] = field(default_factory=list[Dealt])
    violations: list[str] = field(default_factory=list[str])
    published: int = 0
    accepted: int = 0
    acknowledged: int = 0
    tried_again: int = 0
    asked: int = 0
    answered: int = 0
    commands: int = 0
    decisions: int = 0
    versions: int = 0
    rollouts: int = 0
    promoted: int = 0
    replaced: int = 0
    rolled_back: int = 0
    returned: int = 0
    repeated: int = 0
    awake_again: list[int] = field(default_factory=list[int])
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
    """Play it on a broker that may hold other rounds. `told` hears of each strike, on any thread.

    Whatever is raised on the way is a violation of this round.
    """
    found = Round(seed, kills)
    try:
        _play(found, bootstrap, prepared, folder, told)
    except Exception as failure:  # noqa: BLE001  the other rounds' findings must not be lost over it
        found.violations.append(f"the round ended with {type(failure).__name__}: {failure}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).write_text("".join(traceback.format_exception(failure)))
    return found


def _play(
    found: Round, bootstrap: str, prepared: PreparedServices, folder: Path, told: Callable[[Dealt], None]
) -> None:
    prefix = f"{folder.name}-{found.seed}-{time.time_ns() // 1_000_000}."
    kafka = KafkaSettings(bootstrap=bootstrap, topic_prefix=prefix)
    ports = any_free_ports(INSTANCES)
    with (
        closing(Processes(prepared, ports, folder, bootstrap, prefix, found.seed)) as processes,
        closing(LogEnds(bootstrap, prefix)) as ends,
        ExitStack() as stack,
    ):
        stream = Stream(found.seed, kafka, processes)
        stack.callback(lambda: found.violations.extend(processes.surprises))
        with _timed(found, "starting"):
            for name in process_names(INSTANCES):
                processes.start(name)
            processes.await_up(process_names(INSTANCES))
            put_in_force(ports.urls["console"], definitions(rollout=ROLLOUT, label=LABEL), by="chaos")
            processes.await_up(process_names(INSTANCES))
        with closing(HttpClient(found.seed, ports.urls, lambda: stream.now)) as client:
            stream.start()
            client.start()
            with _timed(found, "striking"):
                try:
                    strikes = schedule(found.seed, found.kills)
                    found.dealt = Striker(processes, client, ends, folder, told).deal(strikes)
                    client.await_answer()
                finally:
                    stream.stop()
                client.stop()
                processes.calm()
        with _timed(found, "settling"), ProgressClient(ports.urls) as progress:
            stream.finish(Settling(list(ports.urls), progress.ask), client.told.ends)
        with _timed(found, "checking"):
            _check(found, gathered_from(folder, kafka), stream.published, client.told)


def _check(found: Round, evidence: EvidenceOfRun, published: Mapping[str, int], told: Told) -> None:
    history = evidence.history
    _count(found, history, published, told)
    for topic in (PAYMENTS, TRUTHS):
        over_http = published_over_http(history, topic).total()
        stand = sum(len(history.logs[tp]) for tp in history.partitions(topic)) - over_http
        if stand != published.get(topic, 0):
            found.violations.append(f"{published.get(topic, 0)} records were published to {topic}, {stand} stand there")
    for service in INSTANCES:
        found.violations += [f"{one.task} buried {one.tp} {one.offset}" for one in letters(history, service)]
    found.violations += contradictions(history, told)
    found.violations += evidence.violations()


def _count(found: Round, history: TopicHistory, published: Mapping[str, int], told: Told) -> None:
    found.published = sum(published.values())
    found.accepted = sum(
        sum(1 for _ in history.events(RECORDS.of(source).name, RecordAccepted)) for source in (PAYMENTS, TRUTHS)
    )
    found.acknowledged, found.tried_again = len(told.acknowledged), told.tried_again
    found.asked, found.answered = len(told.answers), told.answered
    found.commands = len(told.commands) + len(told.returns)
    found.decisions = len(history.control.entries)
    found.versions = sum(1 for _ in history.decided(VersionRegistered))
    found.rollouts = sum(1 for _ in history.decided(RolloutStarted))
    promoted = [event for _, event in history.decided(VersionPromoted)]
    found.promoted, found.replaced = len(promoted), sum(event.former is not None for event in promoted)
    back = [event for _, event in history.decided(ModelRolledBack)]
    found.returned = sum(event.by == PERSON for event in back)
    found.rolled_back = len(back) + sum(event.phase is Phase.ROLLED_BACK for _, event in history.decided(RolloutEnded))
    found.repeated = _repeated(history)
    found.awake_again = [said_again(history, one.woke) for one in found.dealt if one.woke is not None]


def said_again(history: TopicHistory, woke: Woke) -> int:
    """Events of these tasks that count for nobody, and came into the logs between waking up and learning better.

    The new owner had caught up by then: it had no cause to say anything twice.
    """
    count = 0
    for tp in history.logs:
        log = f"{tp.topic}/{tp.partition}"
        window = range(woke.woke.get(log, 0), woke.learned.get(log, 0))
        said = {
            record.offset
            for record, entry in history.read_entries(tp)
            if record.offset in window and isinstance(entry, Message) and entry.sequence is not None
            and entry.source in woke.tasks
        }  # fmt: skip
        count += len(said - {read.offset for read in history.accepted(tp)}) if said else 0
    return count


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
