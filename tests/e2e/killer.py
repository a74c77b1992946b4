"""kill -9 for services of a running platform, at moments when they have work in hand."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.local.platform import LocalPlatform
from deploy.local.progress_client import ProgressClient
from deploy.local.settle import CONTROL_LOG, Pictures, known_ends
from shared.runtime.snapshot import Progress

LOOK_EVERY_S = 0.002
DECIDE = ("registry", "training")
FEWEST_AT_ONCE = 2  # of all seven: in lockstep the later ones wait for what the earlier ones have in hand


@dataclass(frozen=True, slots=True)
class Blow:
    """`victims` are killed as soon as so many rows are applied and they have work in hand.

    `at_work`: a worker's, such as a fit; entries in hand do not count.
    """

    rows: int
    victims: tuple[str, ...]
    at_work: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """What was killed, and what each of them had in hand a moment before."""

    victims: tuple[str, ...]
    in_hand: Mapping[str, str]


def in_hand(pictures: Pictures) -> dict[str, str]:
    """What each service is at: entries taken and not finished, work of a worker, or entries sent and not applied."""
    ends = known_ends(pictures, {})
    # A tick of the wall clock on its way is work only for those who decide on control.v1.
    data = {log: end for log, end in ends.items() if log != CONTROL_LOG}
    found = (
        (name, _work(progress, ends if name in DECIDE else data))
        for name, progress in pictures.items() if progress is not None
    )  # fmt: skip
    return {name: work for name, work in found if work}


def at_work(pictures: Pictures) -> dict[str, str]:
    """What the workers of each service are at."""
    return {name: one.doing[0] for name, one in pictures.items() if one is not None and one.doing}


def _work(progress: Progress, ends: Mapping[str, int]) -> str:
    if progress.doing:
        return progress.doing[0]
    if progress.pending:
        return f"{progress.pending} entries in hand"
    behind = {log: ends[log] - end for log, end in progress.applied.items() if ends.get(log, 0) > end}
    return f"not applied yet: {behind}" if behind else ""


class Killer(threading.Thread):
    """Deals each blow in turn; the next one only when all services answer again, with nothing missing."""

    def __init__(self, platform: LocalPlatform, intake: str, blows: Sequence[Blow]) -> None:
        super().__init__(name="killer", daemon=True)
        self._platform, self._intake, self._blows = platform, intake, blows
        self._stop_asked = threading.Event()
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
        wanted = min(len(blow.victims), FEWEST_AT_ONCE)
        while not self._stop_asked.wait(LOOK_EVERY_S):
            pictures = client.ask(list(self._platform.urls))
            working = at_work(pictures) if blow.at_work else in_hand(pictures)
            hit = {name: working[name] for name in blow.victims if name in working}
            if self._rows(pictures) < blow.rows or len(hit) < wanted:
                continue
            pids = self._platform.process_ids
            for victim in blow.victims:
                os.kill(pids[victim], signal.SIGKILL)
            self.hits.append(Hit(blow.victims, hit))
            return

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
