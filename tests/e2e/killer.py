"""kill -9 for services of a platform on which a replay in lockstep runs, at moments when they have work in hand.

A service is frozen until something has come to stand in a log that it reads, and killed: what it had not done when it
was frozen it had not done when it died. It is frozen some time after the replay goes on from rest, and so in the midst
of its work or before it. Where it had done all by then, it goes on, and the next time is earlier; at last it is frozen
before the replay goes on, and whatever is sent finds it frozen.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from deploy.local.platform import LocalPlatform
from deploy.local.progress_client import ProgressClient
from deploy.local.settle import Ends, Settled, Settling
from services.training.fit_worker import FITTING
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.log import TopicPartition
from shared.runtime.ownership import owners
from shared.runtime.to_the_end import to_the_end
from tests.e2e.evidence_of_run import path_id, services_folder, task_paths
from tests.scenarios.topic_history import CONTROL_TP

LOOK_EVERY_S, ASK_EVERY_S = 0.002, 0.05
POLL_S, SILENT_AT_MOST_S = 0.1, 60.0
SAID_WITHIN_S = 0.05  # that a fit was begun, in the log
FROZEN_AT_MOST_S = {"training": 12.0, "console": 12.0, "registry": 12.0}  # a wall tick comes every 10 s
ELSE_AT_MOST_S = 1.5
FROZEN_AFTER_S = (0.15, 0.05, 0.0)  # after the replay goes on, one try after the other
# Who is frozen first of all seven: what the others go on with comes to stand before these.
LAST = ("monitoring", "training", "console")


@dataclass(frozen=True, slots=True)
class Blow:
    """`victims` are killed as soon as so many rows are applied and they have work in hand.

    `at_work`: a fit that was begun; entries in hand do not count. Of all seven, monitoring, training and the
    console must have some. Of the others only by chance: in lockstep a service gets its part of a block when those
    before it have done theirs, so where monitoring has work, ingestion, features and serving have finished it.
    """

    rows: int
    victims: tuple[str, ...]
    at_work: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """What was killed, what each of them had in hand when it died, and when all were dead."""

    victims: tuple[str, ...]
    in_hand: Mapping[str, str]
    at_ms: int


class Undone:
    """What frozen services have not done of what stands in the logs that their tasks read. For one thread."""

    def __init__(self, platform: LocalPlatform) -> None:
        self._of_services = services_folder(platform.data, embedded=platform.embedded)
        self._processes = list(platform.urls)
        broker = KafkaBroker(platform.kafka)
        self._reader, self._admin = broker.reader(), broker.admin()

    def of(self, process: str, frozen_at_ms: int) -> str:
        """The logs and how many entries of each were found, empty if none.

        The console keeps no file: of it what came after it was frozen counts.
        """
        service, _, number = process.partition("-")
        paths = task_paths(self._of_services, service, number or "0")
        tasks = {path: path_id(path) for path in paths if self._owner(path_id(path)) == process}
        positions = {_log(task): _position(path) for path, task in tasks.items()} or {CONTROL_TP: 0}
        self._reader.assign({})
        self._reader.assign(positions)
        found = Counter[str]()
        for tp, records in to_the_end(self._reader, positions, silent_s=SILENT_AT_MOST_S, wait_s=POLL_S):
            left = [r for r in records if tasks or r.timestamp_ms > frozen_at_ms]
            found.update({f"{tp.topic}/{tp.partition}": len(left)} if left else {})
        return f"entries not applied: {dict(found)}" if found else ""

    def _owner(self, task: str) -> str:
        """The process whose task it is: of one that has moved away, a file stays behind."""
        service = task.partition("/")[0]
        processes = {name.partition("-")[2] or "0": name for name in self._processes if _of(name, service)}
        tp = _log(task)
        partitions = self._admin.partitions(tp.topic) or 1
        return processes[owners(tp.topic, partitions, tuple(sorted(processes)))[tp.partition]]

    def close(self) -> None:
        self._reader.close()
        self._admin.close()


def _fit(doing: Sequence[str]) -> str:
    return next((text for text in doing if text.startswith(FITTING)), "")


def _of(process: str, service: str) -> bool:
    return process.partition("-")[0] == service


def _log(task: str) -> TopicPartition:
    _, _, topic, partition = task.split("/")
    return TopicPartition(topic, int(partition))


def _position(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        row = file.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()
    return 0 if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rest with so many rows applied. `frozen`: who is frozen before the replay goes on from it."""

    rows: int
    frozen: tuple[str, ...]


class Killer(threading.Thread):
    """Deals each blow in turn; the next one only when all services answer again, with nothing missing.

    `intake`: the log of which ingestion has applied so many rows.
    """

    def __init__(self, platform: LocalPlatform, intake: str, blows: Sequence[Blow]) -> None:
        super().__init__(name="killer", daemon=True)
        self._platform, self._intake, self._blows = platform, intake, blows
        self._stop_asked, self._rested = threading.Event(), threading.Event()
        self._wanted: Wanted | None = None
        self._rested_at_ms = 0
        self._doing: dict[str, str] = {}
        self.hits: list[Hit] = []

    def run(self) -> None:
        if not self._blows:
            return
        with ProgressClient(self._platform.urls) as client, closing(Undone(self._platform)) as self._undone:
            for blow in self._blows:
                self._until_all_answer(client)
                if hit := self._met_at_work(client, blow) if blow.at_work else self._met_frozen(blow):
                    self.hits.append(Hit(blow.victims, hit, _now_ms()))

    def at_rest(self, applied: Ends) -> None:
        """The replay's thread calls this when the platform has settled (`telling`), and goes on when it returns."""
        wanted = self._wanted
        if wanted is not None and applied.get(self._intake, 0) >= wanted.rows:
            self._wanted, self._rested_at_ms = None, _now_ms()
            self._send(wanted.frozen, signal.SIGSTOP)
            self._rested.set()

    def stop(self) -> None:
        """Deal no further blow."""
        self._stop_asked.set()
        self._rested.set()
        self.join()

    def _met_at_work(self, client: ProgressClient, blow: Blow) -> dict[str, str]:
        """Kill them at a fit that is told to have been begun; empty if there was none before the end."""
        while not self._stop_asked.wait(LOOK_EVERY_S):
            pictures = client.ask(list(self._platform.urls))
            if max((one.applied.get(self._intake, 0) for one in pictures.values() if one), default=0) < blow.rows:
                continue
            before = self._doing
            self._doing = {n: fit for n, one in pictures.items() if one and (fit := _fit(one.doing))}
            found = {name: doing for name, doing in self._doing.items() if name in blow.victims and name in before}
            if found:
                self._send(blow.victims, signal.SIGKILL)
                return found
            if self._doing:
                self._stop_asked.wait(SAID_WITHIN_S)
        return {}

    def _met_frozen(self, blow: Blow) -> dict[str, str]:
        """Kill them with work in hand; empty if they had none before the end."""
        found: dict[str, str] = {}
        tries = chain(FROZEN_AFTER_S, repeat(FROZEN_AFTER_S[-1]))
        while not found and not self._stop_asked.is_set():
            found = self._frozen(blow, next(tries))
        return found

    def _frozen(self, blow: Blow, after_s: float) -> dict[str, str]:
        """Freeze them until something stands before each, and kill them; or, come what may, let them go on."""
        first = LAST if len(blow.victims) > 1 else blow.victims
        try:
            frozen_at_ms = self._until_rest(Wanted(blow.rows, () if after_s else first))
            if after_s:
                self._stop_asked.wait(after_s)
                frozen_at_ms = _now_ms()
                self._send(first, signal.SIGSTOP)
            found = self._come_before(first, frozen_at_ms)
            if len(found) < len(first):
                return {}
            self._send(blow.victims, signal.SIGSTOP)
            others = {name: self._undone.of(name, frozen_at_ms) for name in blow.victims if name not in first}
            self._send(blow.victims, signal.SIGKILL)
        finally:
            for victim in blow.victims:
                # Who is dead by now does not go on.
                with suppress(KeyError, ProcessLookupError):
                    self._send([victim], signal.SIGCONT)
        return found | {name: left for name, left in others.items() if left}

    def _until_rest(self, wanted: Wanted) -> int:
        """When it was; or until no further blow is to be dealt."""
        self._rested.clear()
        self._wanted = wanted
        if not self._stop_asked.is_set():
            self._rested.wait()
        return self._rested_at_ms

    def _come_before(self, frozen: Sequence[str], frozen_at_ms: int) -> dict[str, str]:
        """What stands before each of them; too few where time is up."""
        until_s = time.monotonic() + max(
            FROZEN_AT_MOST_S.get(name.partition("-")[0], ELSE_AT_MOST_S) for name in frozen
        )
        found: dict[str, str] = {}
        while len(found) < len(frozen) and time.monotonic() < until_s and not self._stop_asked.is_set():
            looked = {name: self._undone.of(name, frozen_at_ms) for name in frozen if name not in found}
            found |= {name: left for name, left in looked.items() if left}
        return found

    def _send(self, victims: Sequence[str], number: signal.Signals) -> None:
        pids = self._platform.process_ids
        for victim in victims:
            os.kill(pids[victim], number)

    def _until_all_answer(self, client: ProgressClient) -> None:
        """The old processes' answers do not count: it is enough that nobody is missing half a second after the blow."""
        self._stop_asked.wait(0.5)
        while not self._stop_asked.wait(ASK_EVERY_S):
            pictures = client.ask(list(self._platform.urls))
            if all(one is not None and not one.waiting for one in pictures.values()):
                return


def telling(killer: Killer) -> type[Settling]:
    """Tells the killer of each time that the platform has settled, before the replay goes on."""

    class Telling(Settling):
        def settle(self, own_ends: Ends) -> Settled:
            settled = super().settle(own_ends)
            killer.at_rest(settled.applied)
            return settled

    return Telling


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
