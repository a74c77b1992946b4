"""What every service answers over HTTP: liveness, readiness, metrics, progress; and the server behind it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shared.contracts.errors import HeadraceError
from shared.runtime.about import About, about_of
from shared.runtime.settings import COPY_EVERY_S
from shared.runtime.snapshot import Progress, Rests, Snapshot, TaskFigures

JSON = "application/json"
LAG_WINDOW_S = 15
LOOK_EVERY_S = 1.0
TaskName = tuple[str, str, str]


class PortTaken(HeadraceError):
    """Something else listens where this service should."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is taken by another process: stop it, or set HEADRACE_PORT to a free port")


def _name(task: TaskFigures | Rests) -> TaskName:
    return (task.step, task.subject, "" if task.partition is None else str(task.partition))


class Health:
    """What the driver last said of the process; read by HTTP threads."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.snapshot: Snapshot | None = None
        self.reasons: dict[str, str] = {"start": "the process has not finished its first turn"}
        self.turned_s = time.monotonic()
        self._lags: dict[tuple[TaskName, int], int] = {}

    def said(self, taken: Snapshot) -> None:
        """After a turn: the newest snapshot, and what is still missing."""
        self.snapshot, self.reasons = taken, dict(taken.progress.waiting)
        second = int(time.monotonic())
        lags = {at: lag for at, lag in self._lags.items() if at[1] > second - LAG_WINDOW_S}
        for task in taken.tasks:
            if task.peak_lag:
                at = (_name(task), second)
                lags[at] = max(lags.get(at, 0), task.peak_lag)
        self._lags = lags

    def largest_lag(self, task: TaskFigures) -> int:
        """Now, and within the last LAG_WINDOW_S seconds: a burst that is over by the next scrape is seen as well."""
        since, name = int(time.monotonic()) - LAG_WINDOW_S, _name(task)
        return max([task.lag, *(lag for (of, second), lag in self._lags.items() if of == name and second > since)])

    def turned(self) -> None:
        self.turned_s = time.monotonic()

    def away(self, reason: str) -> None:
        self.reasons = {"kafka": reason}


class _TaskMetrics:
    """Counts of the tasks as Prometheus metrics, taken from the newest snapshot."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        prefix = f"headrace_{self._health.service}"
        taken = self._health.snapshot
        labels = ["step", "subject", "partition"]
        for name, text in (
            ("read", "events that a task has read"),
            ("skipped", "repetitions and gaps that a task has skipped"),
            ("derived", "events that a task has derived"),
            ("dead", "records that went to the dead letters"),
            ("damaged", "entries of a user's topic that could not be read and were passed over"),
        ):
            counter = CounterMetricFamily(f"{prefix}_{name}_events", text, labels=labels)
            for task in taken.tasks if taken else ():
                counter.add_metric(_name(task), getattr(task, name))
            yield counter
        lag_text = f"entries of the input log that a task had not applied; the most within {LAG_WINDOW_S} s"
        figures: tuple[tuple[str, str, Callable[[TaskFigures], float | None]], ...] = (
            ("lag_events", lag_text, self._health.largest_lag),
            ("outbox_events", "derived events that are not acknowledged yet", lambda task: task.outbox),
            (
                "copy_age_seconds", "for how long a task has been further than its newest copy",
                lambda task: task.copy_age_s,
            ),
            (
                "watermark_seconds", "event time that a task has been shown",
                lambda task: None if task.watermark_ms is None else task.watermark_ms / 1000,
            ),
        )  # fmt: skip
        for name, text, figure in figures:
            gauge = GaugeMetricFamily(f"{prefix}_{name}", text, labels=labels)
            for task in taken.tasks if taken else ():
                value = figure(task)
                if value is not None:
                    gauge.add_metric(_name(task), value)
            yield gauge
        full_text = "1 while a task, or what `step` names, rests: the disk of its file is full"
        gauge = GaugeMetricFamily(f"{prefix}_disk_full", full_text, labels=labels)
        for task in taken.tasks if taken else ():
            gauge.add_metric(_name(task), task.disk_full)
        for rests in taken.without_room if taken else ():
            gauge.add_metric(_name(rests), 1.0)
        yield gauge


def build_app(
    health: Health, metrics: CollectorRegistry, routers: Iterable[APIRouter], about: Callable[[], About] | None = None
) -> FastAPI:
    """The service's HTTP interface: its own routers, and the routes that all services have."""
    about = about or about_of(health.service, "0", COPY_EVERY_S, Path())
    app = FastAPI(title=f"Headrace {health.service}", docs_url="/docs", redoc_url=None)
    metrics.register(_TaskMetrics(health))

    @app.get("/livez")
    def livez(response: Response) -> dict[str, object]:
        """Alive: the driver's loop turns (within the last 30 s)."""
        silent_s = time.monotonic() - health.turned_s
        if silent_s > 30:
            response.status_code = 503
        return {"live": silent_s <= 30, "silent_seconds": round(silent_s, 3)}

    @app.get("/readyz")
    def readyz(response: Response) -> dict[str, object]:
        """Ready: the broker answers and every task has its logs; otherwise a reason for each that has not."""
        if health.reasons:
            response.status_code = 503
        return {"ready": not health.reasons, "reasons": health.reasons}

    @app.get("/progress", response_model=Progress)
    async def progress() -> Response:
        """How far the process is; see Progress. A replay in lockstep asks often, hence on the loop, and no thread."""
        taken = health.snapshot
        if taken is None:
            return Response(b'{"error": "the process has not finished its first turn"}', 503, media_type=JSON)
        return Response(taken.progress.model_dump_json(), media_type=JSON)

    @app.get("/tasks")
    def tasks() -> dict[str, object]:
        """How far each task is, and what holds it up; see TaskFigures."""
        taken = health.snapshot
        return {"tasks": [asdict(task) for task in taken.tasks] if taken else []}

    @app.get("/about", response_model=About)
    def get_about() -> About:
        """What runs here and on what; see About."""
        return about()

    @app.get("/metrics")
    def prometheus() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    for router in routers:
        app.include_router(router)
    return app


class _Server(uvicorn.Server):
    """Looks once a second at what uvicorn looks at ten times, which is much of what an idle service does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Until it is to stop; each look renews the date that answers carry."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), LOOK_EVERY_S)

    def stop(self) -> None:
        """On any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop has ended by itself
                self._loop.call_soon_threadsafe(self._stopped.set)


def serve(app: FastAPI, host: str, port: int) -> Callable[[], None]:
    """Answer HTTP from a thread of its own; returns what stops it. Raises PortTaken."""
    # Named as TCP: otherwise asyncio leaves Nagle's algorithm on, and every answer waits 40 ms for an acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # Not left to the thread: until then clients are refused, and another process may bind the port as well.
        listening.listen()
    except OSError:
        listening.close()
        raise PortTaken(host, port) from None
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    thread.start()

    def stop() -> None:
        server.stop()
        thread.join(timeout=5)
        listening.close()

    return stop
