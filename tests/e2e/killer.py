"""kill -9 for services of a running platform, at moments when they have work in hand.

Whether they have is looked up while they are frozen: what a service had not done when it was frozen it had not done
when it died. A moment that is too early or too late passes, and the service goes on.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from deploy.local.platform import LocalPlatform
from deploy.local.progress_client import ProgressClient
from deploy.local.settle import Ends, Pictures, known_ends
from shared.runtime.snapshot import Progress
from tests.e2e.evidence_of_run import path_id, services_folder, task_paths

LOOK_EVERY_S = 0.002
SAID_WITHIN_S = 0.05  # that a worker has begun
FEWEST_AT_ONCE = 2  # of all seven


@dataclass(frozen=True, slots=True)
class Blow:
    """`victims` are killed as soon as so many rows are applied and they have work in hand.

    `at_work`: a worker's, such as a fit; entries in hand do not count. Of several victims two must have some: in
    lockstep a service gets its part of a block when the one before it has done its own and sent it on, and in between
    all others wait. The console, which reads everything, keeps no file: of it the last look counts.
    """

    rows: int
    victims: tuple[str, ...]
    at_work: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """What was killed, and what each of them had in hand when it died."""

    victims: tuple[str, ...]
    in_hand: Mapping[str, str]


def undone(of_services: Path, service: str, seen: Progress | None, ends: Ends) -> str:
    """What a frozen service has not done of what had been sent to it, by its files; empty if nothing."""
    left: dict[str, int] = {}
    for path in task_paths(of_services, service):
        log = path_id(path).split("/", 2)[2]
        left[log] = ends.get(log, 0) - _position(path)
    if service == "console" and seen is not None:
        left = {log: ends[log] - applied for log, applied in seen.applied.items() if log in ends}
    found = {log: entries for log, entries in left.items() if entries > 0}
    return f"entries that it had not applied: {found}" if found else ""


def _position(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        row = file.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()
    return 0 if row is None else int(row[0])


class Killer(threading.Thread):
    """Deals each blow in turn; the next one only when all services answer again, with nothing missing.

    `intake`: the log of which ingestion has applied so many rows.
    """

    def __init__(self, platform: LocalPlatform, intake: str, blows: Sequence[Blow]) -> None:
        super().__init__(name="killer", daemon=True)
        self._platform, self._intake, self._blows = platform, intake, blows
        self._of_services = services_folder(platform.data, embedded=platform.embedded)
        self._stop_asked = threading.Event()
        self._doing: dict[str, str] = {}
        self.hits: list[Hit] = []

    def run(self) -> None:
        with ProgressClient(self._platform.urls) as client:
            for blow in self._blows:
                self._until_all_answer(client)
                self._deal(client, blow)

    def stop(self) -> None:
        """Deal no further blow."""
        self._stop_asked.set()
        self.join()

    def _deal(self, client: ProgressClient, blow: Blow) -> None:
        while not self._stop_asked.wait(LOOK_EVERY_S):
            pictures = client.ask(list(self._platform.urls))
            if self._rows(pictures) < blow.rows:
                continue
            hit = self._at_work(blow, pictures) if blow.at_work else self._frozen(blow, pictures)
            if hit:
                self.hits.append(Hit(blow.victims, hit))
                return

    def _at_work(self, blow: Blow, pictures: Pictures) -> dict[str, str]:
        before, self._doing = self._doing, {n: one.doing[0] for n, one in pictures.items() if one and one.doing}
        found = {name: doing for name, doing in self._doing.items() if name in blow.victims and name in before}
        if found:
            self._send(blow.victims, signal.SIGKILL)
        elif self._doing:
            self._stop_asked.wait(SAID_WITHIN_S)
        return found

    def _frozen(self, blow: Blow, pictures: Pictures) -> dict[str, str]:
        """Freeze them, look, and kill them, or let them go on."""
        ends = known_ends(pictures, {})
        if not any(_is_behind(pictures.get(name), ends) for name in blow.victims):
            return {}
        self._send(blow.victims, signal.SIGSTOP)
        looked = {name: undone(self._of_services, name, pictures.get(name), ends) for name in blow.victims}
        found = {name: left for name, left in looked.items() if left}
        if len(found) < min(len(blow.victims), FEWEST_AT_ONCE):
            self._send(blow.victims, signal.SIGCONT)
            return {}
        self._send(blow.victims, signal.SIGKILL)
        return found

    def _send(self, victims: Sequence[str], number: signal.Signals) -> None:
        pids = self._platform.process_ids
        for victim in victims:
            os.kill(pids[victim], number)

    def _rows(self, pictures: Pictures) -> int:
        ingestion = pictures.get("ingestion")
        return 0 if ingestion is None else ingestion.applied.get(self._intake, 0)

    def _until_all_answer(self, client: ProgressClient) -> None:
        """The old processes' answers do not count: it is enough that nobody is missing half a second after the blow."""
        self._stop_asked.wait(0.5)
        while not self._stop_asked.wait(0.05):
            pictures = client.ask(list(self._platform.urls))
            if all(one is not None and not one.waiting for one in pictures.values()):
                return


def _is_behind(seen: Progress | None, ends: Ends) -> bool:
    return seen is not None and any(ends.get(log, 0) > applied for log, applied in seen.applied.items())
