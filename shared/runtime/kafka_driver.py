"""Runs one process of a service over Kafka, until it is told to stop."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import structlog
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from shared.contracts.errors import HeadraceError
from shared.contracts.topics import CONTROL
from shared.runtime.about import about_of
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.folder_members import FolderMembers
from shared.runtime.host import Host
from shared.runtime.http_server import Health, build_app, serve
from shared.runtime.intake import CONTROL_TP
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_group import KafkaGroup
from shared.runtime.kafka_settings import kafka_settings
from shared.runtime.log import (
    AccessDenied,
    BrokerAway,
    DamagedBatch,
    LogError,
    LogRecord,
    OffsetOutOfRange,
    TopicMissing,
)
from shared.runtime.logs import configure_logs
from shared.runtime.lost_records import RecordsExpired, ReplacedTopic
from shared.runtime.other_logs import forgotten_log
from shared.runtime.ownership import Alone, Membership
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.set_aside_log import SetAsideLog
from shared.runtime.settings import STOPPED_FOR_GOOD, ServiceSettings, SettingsInvalid, from_environment
from shared.runtime.snapshot import snapshot
from shared.runtime.task_folder import TaskFolder

# How long a turn waits for records. Acknowledgements, results of workers and what other threads publish end the wait;
# these are for what comes with time alone: a mark that is held back, a topic that is being made, a disk, the next tick.
PENDING_S = 0.01
WORKING_S = 0.05
SHARING_S = 0.1  # other instances come and go, and nobody says so but they
IDLE_S = 0.5
FLUSH_S = 5.0
FIRST_ENTRY_S = 5.0
LOOK_EVERY_S = 5.0

Settings = TypeVar("Settings", bound=ServiceSettings)
Routers = Callable[[Process, CollectorRegistry], Sequence[APIRouter]]
log = structlog.get_logger()


class SystemClock:
    def now_s(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


def collect_seldom() -> None:
    """Let Python look for cycles less often, and never again among what was made at the start.

    Each record makes dozens of objects and hardly a cycle; looking for cycles took an eighth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


class Driver:
    """The loop of one process."""

    def __init__(self, process: Process, health: Health) -> None:
        self.process, self.health = process, health
        self.incarnation = str(uuid4())
        self.stopping = False
        self._looked_s = time.monotonic()
        self._away_said_s = self._gone_said_s = float("-inf")

    def run(self) -> None:
        """Turn until told to stop; then send what is pending and close."""
        collect_seldom()
        wait_s = 0.0
        while not self.stopping:
            try:
                wait_s = self._turn_on_our_log(wait_s)
            except BrokerAway as away:
                self._say_away(away)
                time.sleep(0.2)
        self._finish()

    def stop(self, _number: int, _frame: object) -> None:
        """A signal handler: finish the turn, then stop."""
        self.stopping = True
        self.process.reader.wake()

    def _turn_on_our_log(self, wait_s: float) -> float:
        """A turn. Where the broker was away or something is gone, it is first asked whether it still holds our log."""
        if self._away_said_s > 0:
            self._check_log("the broker was away, and came back as another")
        try:
            return self._turn(wait_s)
        except (OffsetOutOfRange, TopicMissing) as gone:
            self._check_log("what this process reads is not there any more")
            self._say_gone(gone)
            time.sleep(0.2)
            return 0.0
        except (RecordsExpired, ReplacedTopic):
            self._check_log("what this process reads is not there any more")
            raise

    def _turn(self, wait_s: float) -> float:
        moved = self.process.turn(wait_s)
        self.health.turned()
        last = self.health.snapshot
        if moved or last is None or last.progress.pending or last.progress.doing or self.health.reasons:
            self.health.said(snapshot(self.process, self.incarnation))
        now_s = time.monotonic()
        if not moved and now_s - self._looked_s > LOOK_EVERY_S:
            self._looked_s = now_s
            if self.process.admin.partitions(CONTROL.name) is None:
                self._check_log("control.v1 is gone")
        if self._away_said_s > 0:
            log.info("the broker answers again")
            self._away_said_s = float("-inf")
            self.health.said(snapshot(self.process, self.incarnation))
        if moved:
            return 0.0
        if self.process.pending:
            return PENDING_S
        if self.process.awaited or self.process.doing():
            return WORKING_S
        return SHARING_S if self.process.shares else IDLE_S

    def _say_away(self, away: BrokerAway) -> None:
        self.health.turned()
        reason = f"{away} Work goes on by itself when it comes."
        self.health.away(reason)
        if time.monotonic() - self._away_said_s > 10:
            self._away_said_s = time.monotonic()
            log.warning("waiting for the broker", bootstrap=away.bootstrap, reason=reason)

    def _say_gone(self, gone: LogError) -> None:
        """The log is ours, and yet something in it is missing: it may come (a topic that is being made)."""
        self.health.turned()
        self.health.reasons["log"] = str(gone)
        if time.monotonic() - self._gone_said_s > 10:
            self._gone_said_s = time.monotonic()
            log.warning("trying again", reason=str(gone))

    def _check_log(self, why: str) -> None:
        """A broker that began anew holds another log: said, and never mixed with old positions. Raises ForeignLog."""
        history = self.process.history
        if history.entries and not self._holds(history.entries[0].record):
            read = f"log {history.log_id}, of which this process had read {history.position} entries of control.v1"
            raise forgotten_log(why, read)

    def _holds(self, first: LogRecord) -> bool:
        """Whether control.v1 begins with this entry; True as well if the broker does not say in time."""
        if self.process.admin.partitions(CONTROL.name) is None:
            return False
        reader = self.process.broker.reader()
        try:
            reader.assign({CONTROL_TP: 0})
            token, until_s = reader.fetch_token(), time.monotonic() + FIRST_ENTRY_S
            while time.monotonic() < until_s:
                for record in reader.poll(0.2, 1).get(CONTROL_TP, ()):
                    return (record.offset, record.value, record.headers) == (first.offset, first.value, first.headers)
                if reader.end_reached_since(CONTROL_TP, token):
                    return False
            return True
        finally:
            reader.close()

    def _finish(self) -> None:
        until_s = time.monotonic() + FLUSH_S
        try:
            while self.process.pending and time.monotonic() < until_s:
                self.process.publish(0.05)
        except BrokerAway:
            log.warning("stopping while the broker is away; what is not sent stays in the outbox")
        self.process.close()


def main(
    name: str,
    kind: type[Settings],
    build: Callable[[Settings], Service],
    routers: Callable[[Settings], Routers] = lambda settings: lambda process, metrics: (),
) -> int:
    """Run a service with the settings of the environment until SIGTERM or SIGINT; the exit code."""
    try:
        settings = from_environment(kind)
    except SettingsInvalid as invalid:
        configure_logs(name, "0", "info")
        log.error(str(invalid), error=type(invalid).__name__)
        return STOPPED_FOR_GOOD
    return run(build(settings), settings, routers(settings))


def run(service: Service, settings: ServiceSettings, routers: Routers) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    configure_logs(service.name, settings.instance, settings.log_level)
    health, metrics = Health(service.name), CollectorRegistry()
    stop_http: Callable[[], None] | None = None
    try:
        folder = settings.data.resolve() / "state" / service.name / settings.instance
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="worker") as executor:
            process = Process(service, host_of(service, settings, folder, executor))
            driver = Driver(process, health)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, driver.stop)
            port = settings.port_of(service.name)
            about = about_of(service.name, settings.instance, settings.copy_every_s, folder, service.release)
            stop_http = serve(build_app(health, metrics, routers(process, metrics), about), settings.host, port)
            log.info("started", port=port, pid=os.getpid(), folder=str(folder))
            driver.run()
    except (HeadraceError, AccessDenied) as error:
        log.error(str(error), error=type(error).__name__)
        sys.stderr.flush()
        # Threads of a worker may still be busy with what no longer matters.
        os._exit(STOPPED_FOR_GOOD)
    finally:
        if stop_http is not None:
            stop_http()
    log.info("stopped")
    return 0


def _membership(service: Service, settings: ServiceSettings) -> Membership:
    # Instances of one release share the tasks; those of another take all of them, each where it begins for that task.
    group = service.name if service.release == 1 else f"{service.name}-{service.release}"
    match settings.share:
        case "none":
            return Alone(settings.instance)
        case "machine":
            return FolderMembers(settings.data.resolve() / "instances" / group, settings.instance)
        case "group":
            return KafkaGroup(kafka_settings(), group, settings.instance, settings.session_timeout_s)


def host_of(service: Service, settings: ServiceSettings, folder: Path, executor: ThreadPoolExecutor) -> Host:
    """What a process runs on, over Kafka."""
    return Host(
        broker=KafkaBroker(kafka_settings()),
        clock=SystemClock(),
        files=TaskFolder(folder),
        executor=executor,
        artifacts=ArtifactStore.at(settings.store_url),
        instance=settings.instance,
        folder=folder,
        copy_every_s=settings.copy_every_s,
        membership=_membership(service, settings),
        set_aside=SetAsideLog(),
        passed_over=log_damage,
    )


def log_damage(damage: DamagedBatch) -> None:
    """The one log line of entries in a user's topic that stay damaged however often they are fetched."""
    log.error("damaged entries were passed over", **asdict(damage))
