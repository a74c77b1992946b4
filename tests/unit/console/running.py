"""Registry, ingestion and console over a broker in memory, driven by a thread, each behind its own HTTP server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from deploy.ports import free_ports
from deploy.simulation.world import World
from services.console import app as console
from services.console.service_progress import ServiceProgress
from services.console.settings import ConsoleSettings
from services.ingestion import app as ingestion
from services.ingestion.settings import IngestionSettings
from services.registry import app as registry
from services.registry.settings import RegistrySettings
from shared.contracts.envelope import Event, encode
from shared.runtime.http_server import Health, build_app, serve
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.snapshot import snapshot
from tests import builders as b

LOG_ID = "22222222-2222-8222-8222-222222222222"


class RunningPlatform:
    """`console` is its URL. Leave it as a context manager to stop threads and servers.

    `altered`: what takes the place of ingestion.
    """

    def __init__(
        self, settings: ConsoleSettings | None = None, altered: Callable[[Service], Service] = lambda service: service
    ) -> None:
        ports = dict(zip(("console", "ingestion", "registry"), free_ports(3), strict=True))
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.console = self.urls["console"]
        base = settings or ConsoleSettings()
        self._settings = base.model_copy(update={"decision_wait_s": 0.5})
        ingestion_settings = IngestionSettings()
        made = registry.build(RegistrySettings(tick_ms=3_600_000), new_id=lambda: LOG_ID)
        self.world = World(1, [lambda: made, lambda: altered(ingestion.build(ingestion_settings)), console.build])
        self._lock, self._stopping, self._still = threading.Lock(), threading.Event(), threading.Event()
        self._jobs: SimpleQueue[tuple[Callable[[], object], Future[object]]] = SimpleQueue()
        self._progress = ServiceProgress(self.urls)
        routers: dict[str, Callable[[Process, CollectorRegistry], Sequence[APIRouter]]] = {
            "console": partial(console.routers, self._settings, services=self._progress),
            "ingestion": partial(ingestion.routers, ingestion_settings),
        }
        self.healths = {name: Health(name) for name in ports}
        self._stops: list[Callable[[], None]] = []
        for name, port in ports.items():
            metrics = CollectorRegistry()
            routes = routers[name](self.world.processes[name], metrics) if name in routers else ()
            self._stops.append(serve(build_app(self.healths[name], metrics, routes), "127.0.0.1", port))
        self._thread = threading.Thread(target=self._turn, name="platform")

    def say(self, *events: Event) -> None:
        """Events that somebody else writes to the control log."""
        with self._lock:
            for event in events:
                at = self.world.processes["console"].history.position
                encoded = encode(b.message(event, source=f"test/{event.ce_type}/{at}"))
                self.world.publish("control.v1", 0, encoded)

    def until(self, path: str, holds: Callable[[Any], bool], within_s: float = 10.0) -> Any:
        """The console's answer at `path` once it is as wanted."""
        until_s = time.monotonic() + within_s
        while True:
            found = httpx.get(f"{self.console}{path}", trust_env=False).json()
            if holds(found):
                return found
            assert time.monotonic() < until_s, found
            time.sleep(0.01)

    def stand_still(self) -> None:
        """From now on no process takes a turn by itself; all that they said so far is answered on."""
        self._still.set()
        self.drive(0)

    def drive(self, turns: int, pass_ms: int = 2) -> None:
        """So many turns of all that stand still."""
        self.on_thread(lambda: [self._round(pass_ms) for _ in range(turns)])

    def on_thread(self, job: Callable[[], object]) -> None:
        """Do it on the thread of the processes that stand still: theirs are the SQLite connections."""
        done: Future[object] = Future()
        self._jobs.put((job, done))
        done.result(timeout=60)

    def _turn(self) -> None:
        while not self._stopping.is_set():
            if self._still.is_set():
                self._do_job()
                continue
            with self._lock:
                self._round(2)
            time.sleep(0.001)

    def _do_job(self) -> None:
        with suppress(Empty):
            job, done = self._jobs.get(timeout=0.05)
            try:
                done.set_result(job())
            except BaseException as error:  # noqa: BLE001 - raised again where the result is waited for
                done.set_exception(error)

    def _round(self, pass_ms: int) -> None:
        for name, process in self.world.processes.items():
            self.world.clock.pass_ms(pass_ms)
            self.world.turn(name)
            self.healths[name].turned()
            self.healths[name].said(snapshot(process, "0"))

    def __enter__(self) -> Self:
        self._thread.start()
        self.until("/v1/status", lambda found: found.get("log_id") == LOG_ID)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        for stop in self._stops:
            stop()
        self._progress.close()
