"""The processes of a platform that is struck: started by the millisecond, and asked for their progress all the time."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from deploy.local.platform_environment import Ports, environment
from deploy.local.progress_client import ProgressClient
from deploy.local.settle import known_ends
from shared.runtime.snapshot import Progress
from tests.chaos.crash_points import Armed
from tests.chaos.launcher import Instance, PreparedServices
from tests.chaos.schedule import in_a_group

ASK_EVERY_S, ANSWER_WITHIN_S = 0.1, 0.5
UP_WITHIN_S, STOPS_WITHIN_S = 120.0, 10.0
REGISTRY = "registry"
# So that copies are there to be restored, segments are written, and control.v1 always has something new.
HASTE = {
    "HEADRACE_COPY_EVERY_S": "1.0",
    "HEADRACE_SESSION_TIMEOUT_S": "6",  # Apache Kafka takes no less
    "HEADRACE_TICK_MS": "500",
    "HEADRACE_ROWS_PER_SEGMENT": "100",
    "HEADRACE_OUTCOMES_PER_SEGMENT": "100",
    "HEADRACE_DEFINITIONS_WAIT_S": "60",  # on a busy machine
}


class NotUp(AssertionError):
    """A process that was started does not answer, or lacks something, for long."""


class Processes:
    """All of them by name. Whoever ends without being meant to is started again, and stands in `surprises`."""

    def __init__(self, prepared: PreparedServices, ports: Ports, data: Path, bootstrap: str, prefix: str, seed: int):
        self._prepared, self.ports, self.data = prepared, ports, data
        self._logs = data / "logs"
        self._logs.mkdir(parents=True)
        self.in_a_group = in_a_group(seed)
        self._environments: dict[str, dict[str, str]] = {}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        for name in ports.services:
            own = environment(
                name, inherited, ports=ports, data=data, bootstrap=bootstrap, broker_is_ours=True, embedded_pid=None
            )
            if own["HEADRACE_SHARE"] != "none" and name.partition("-")[0] == self.in_a_group:
                own["HEADRACE_SHARE"] = "group"
            self._environments[name] = {**own, **HASTE, "HEADRACE_KAFKA_TOPIC_PREFIX": prefix}
        self._running: dict[str, Instance] = {}
        self._since_s: dict[str, float] = {}
        self._silent: set[str] = set()  # frozen: nobody asks them, for they would be waited for
        self._pictures: dict[str, tuple[float, Progress]] = {}
        self._ends: dict[str, int] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ended: queue.SimpleQueue[Instance | None] = queue.SimpleQueue()
        self.surprises: list[str] = []
        prepared.hear(self._ended.put)
        self._threads = [
            threading.Thread(target=target, name=target.__name__, daemon=True) for target in (self._keep, self._ask)
        ]
        for thread in self._threads:
            thread.start()

    # --- starting and ending

    def start(self, name: str, armed: Armed | None = None) -> Instance:
        """Start a process, or start it again."""
        service = name.partition("-")[0]
        with self._lock:
            self._since_s[name] = time.monotonic()
            self._pictures.pop(name, None)
            instance = self._prepared[service].start(name, self._environments[name], self._logs / f"{name}.log", armed)
            instance.meant = armed is not None
            self._running[name] = instance
        return instance

    def kill(self, names: Collection[str]) -> None:
        """SIGKILL to all at once; returns when all are dead."""
        dying = [self._running[name] for name in names]
        for instance in dying:
            instance.meant = True
            instance.send(signal.SIGKILL)
        for instance in dying:
            assert instance.ended.wait(20), f"{instance.name} survives SIGKILL"
        self._silent.difference_update(names)

    def freeze(self, names: Collection[str]) -> None:
        """SIGSTOP; returns when none of their threads moves."""
        self._silent.update(names)
        frozen = [self._running[name] for name in names]
        for instance in frozen:
            instance.send(signal.SIGSTOP)
        until_s = time.monotonic() + STOPS_WITHIN_S
        for instance in frozen:
            while instance.moves():
                assert time.monotonic() < until_s, f"{instance.name} goes on in spite of SIGSTOP"
                time.sleep(0.001)

    def thaw(self, names: Collection[str]) -> None:
        """SIGCONT."""
        for name in names:
            with self._lock:
                self._pictures.pop(name, None)
                self._since_s[name] = time.monotonic()
            self._running[name].send(signal.SIGCONT)
        self._silent.difference_update(names)

    def calm(self) -> None:
        """The registry is killed once more, and tells the time as seldom as elsewhere: what is to settle must rest."""
        self.kill([REGISTRY])
        del self._environments[REGISTRY]["HEADRACE_TICK_MS"]
        self.start(REGISTRY)
        self.await_up(list(self._environments))

    def _keep(self) -> None:
        while (instance := self._ended.get()) is not None:
            if instance.meant or self._over.is_set():
                continue
            self.surprises.append(f"{instance.name} ended by itself with {instance.code}: {self._last_line(instance)}")
            self.start(instance.name)

    def _last_line(self, instance: Instance) -> str:
        lines = (self._logs / f"{instance.name}.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""

    # --- what they say

    def _ask(self) -> None:
        with ProgressClient(self.ports.urls, timeout_s=ANSWER_WITHIN_S) as client:
            while not self._over.wait(ASK_EVERY_S):
                asked_s = time.monotonic()
                asked = [name for name in self._running if name not in self._silent]
                answers = {name: one for name, one in client.ask(asked).items() if one is not None}
                with self._lock:
                    # Of one that was started meanwhile it may be the old one's.
                    news = {n: (asked_s, one) for n, one in answers.items() if asked_s > self._since_s[n]}
                    self._pictures |= news
                    for log, end in known_ends(answers, {}).items():
                        self._ends[log] = max(self._ends.get(log, 0), end)

    def picture(self, name: str, since_s: float = 0.0) -> Progress | None:
        """What a process said last, of what it was asked since then."""
        with self._lock:
            asked_s, said = self._pictures.get(name, (float("-inf"), None))
        return said if asked_s > since_s else None

    @property
    def ends(self) -> Mapping[str, int]:
        """As far as each log is known to reach: an entry below has been acknowledged."""
        with self._lock:
            return dict(self._ends)

    @property
    def control(self) -> int:
        """How far anyone has read control.v1."""
        return self.ends.get("control.v1/0", 0)

    def await_up(self, names: Collection[str]) -> None:
        """Return once all of them answer, and lack nothing. Raises NotUp."""
        since_s = time.monotonic()
        while True:
            missing = {name: said for name in names if (said := self._missing(name))}
            if not missing:
                return
            if time.monotonic() > since_s + UP_WITHIN_S:
                raise NotUp(f"not up after {UP_WITHIN_S:.0f} s: {missing}")
            time.sleep(0.02)

    def _missing(self, name: str) -> str:
        said = self.picture(name)
        if said is None:
            return "it does not answer"
        return "; ".join(said.waiting.values())

    def state(self, name: str) -> str:
        """What it said last, in short: for whoever looks into a failure."""
        said = self.picture(name)
        if said is None:
            return "does not answer"
        return f"knows {said.membership}, waits for {said.waiting or 'nothing'}, has {said.pending} in hand"

    def close(self) -> None:
        """Kill all of them, and ask no more."""
        self._over.set()
        self.kill(list(self._running))
        self._ended.put(None)
        for thread in self._threads:
            thread.join()
