"""A whole platform on this machine: a broker and the seven processes, started, watched and stopped together."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from deploy.kafka.cluster import KafkaCluster
from deploy.local import embedded
from deploy.local.data_folder import DataFolder
from deploy.local.definitions_in_force import definitions_in_force, put_in_force
from deploy.local.options import BrokerKind
from deploy.local.platform_environment import Ports, any_free_ports, environment, ports_from, process_names
from deploy.local.readiness import Unready, begun_without, look
from deploy.local.running_platform import RunningPlatform
from deploy.local.supervised_process import ProcessSpec
from deploy.local.supervisor import ProcessesFailed, Supervisor
from deploy.local.telling import Tell, tell_nobody
from shared.runtime.definition_files import load
from shared.runtime.kafka_settings import KafkaSettings, kafka_settings
from shared.runtime.settings import STOPPED_FOR_GOOD

ROOT = Path(__file__).resolve().parents[2]
_LOOK_EVERY_S = 0.1


def to_standard_error(line: str) -> None:
    """Where a platform says what it does unless told otherwise."""
    print(line, file=sys.stderr, flush=True)


class LocalPlatform:
    """`with LocalPlatform(data) as platform:` runs everything; leaving the block stops everything.

    `broker`: the embedded one, Apache Kafka under `data/kafka`, or the bootstrap servers of somebody else's cluster
    (other settings of that from the environment, HEADRACE_KAFKA_*). `port_base`: see `ports_from`; `any_ports`: any
    that are free. `instances`: of a service more than one process, which share its tasks. `show` takes what people
    read, `tell` the same for programs. `data/logs` holds each process's log.
    State beside the embedded broker is new at every start.
    """

    def __init__(
        self,
        data: Path,
        *,
        broker: BrokerKind | str = BrokerKind.EMBEDDED,
        port_base: int | None = None,
        any_ports: bool = False,
        instances: Mapping[str, int] | None = None,
        verbose: bool = False,
        fresh: bool = False,
        show: Callable[[str], None] = to_standard_error,
        tell: Tell = tell_nobody,
    ) -> None:
        self._kind = BrokerKind(broker) if broker in tuple(BrokerKind) else None
        self._foreign = None if self._kind else str(broker)
        self.data, self._fresh, self._verbose, self._show = data.absolute(), fresh, verbose, show
        self._tell = tell
        self._instances = dict(instances or {})
        self._choose_ports: Callable[[], Ports] = lambda: (
            any_free_ports(self._instances)
            if any_ports
            else ports_from(port_base, self._instances, embedded=self.embedded)
        )
        self._started = ExitStack()
        self._supervisors: list[Supervisor] = []
        self.bootstrap = ""
        self.ports: Ports | None = None

    @property
    def embedded(self) -> bool:
        """Whether the broker keeps everything in memory."""
        return self._kind is BrokerKind.EMBEDDED

    @property
    def urls(self) -> dict[str, str]:
        """Where each service answers, by name."""
        return {} if self.ports is None else self.ports.urls

    @property
    def console(self) -> str:
        return self.urls["console"]

    @property
    def kafka(self) -> KafkaSettings:
        """How a client in this process reaches the broker."""
        if self._foreign is not None:
            return kafka_settings()
        return KafkaSettings(bootstrap=self.bootstrap, embedded=self.embedded)

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id of every process that runs now, by service; the embedded broker is `broker`."""
        return {name: pid for supervisor in self._supervisors for name, pid in supervisor.process_ids.items()}

    @property
    def failure(self) -> str | None:
        """Why everything was stopped, None while nothing failed."""
        return next((one.failure for one in self._supervisors if one.failure is not None), None)

    def start(self) -> None:
        """Start everything and return when all are ready; on failure nothing is left running."""
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            folder = self._started.enter_context(DataFolder(self.data, embedded=self.embedded))
            folder.prepare(fresh=self._fresh, show=self._show)
            self.ports = self._choose_ports()
            broker_pid = self._start_broker(self.ports)
            self._start_services(self.ports, folder.of_services, broker_pid)
            if self._foreign is None:
                self._started.callback(RunningPlatform.remove, self.data)
                RunningPlatform(
                    console=self.console, bootstrap=self.bootstrap, embedded=self.embedded, services=self.urls,
                    data=str(folder.of_services),
                ).write(self.data)  # fmt: skip
            on_failure.pop_all()

    def stop(self) -> None:
        """Stop everything that was started, in reverse order; the data folder is free afterwards."""
        self._started.close()

    def wait(self, timeout_s: float) -> None:
        """Pass some time. Raises ProcessesFailed if everything was stopped because something failed."""
        until_s = time.monotonic() + timeout_s
        while (left_s := until_s - time.monotonic()) > 0:
            self.raise_if_failed()
            time.sleep(min(left_s, 0.2))

    def raise_if_failed(self) -> None:
        """Raises ProcessesFailed if everything was stopped because something failed."""
        if self.failure is not None:
            raise ProcessesFailed(self.failure)

    def apply(self, definitions: Sequence[Path]) -> None:
        """Put files of definitions in force through the console. Raises DefinitionsInvalid or CommandFailed."""
        for path in definitions:
            loaded = load(path, definitions_in_force(self.console))
            put_in_force(self.console, loaded.published, by="headrace up")
            self._show(f"definitions of {path} are in force")
            self._tell("definitions_in_force", file=str(path))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_broker(self, ports: Ports) -> int | None:
        if self._foreign is not None:
            self.bootstrap = self._foreign
            return None
        if self._kind is BrokerKind.KAFKA:
            self._show("starting Apache Kafka")
            cluster = self._started.enter_context(KafkaCluster(self.data / "kafka"))
            self.bootstrap = cluster.bootstrap
            return None
        self.bootstrap = f"127.0.0.1:{ports.broker}"
        spec = ProcessSpec(
            "broker", embedded.command(ports.broker), ready=lambda: embedded.is_ready(ports.broker), cwd=self.data
        )
        return self._supervise([spec]).process_ids["broker"]

    def _start_services(self, ports: Ports, folder: Path, broker_pid: int | None) -> None:
        specs = [
            ProcessSpec(
                name,
                [sys.executable, "-m", f"services.{name.partition('-')[0]}"],
                env=environment(
                    name, os.environ, ports=ports, data=folder, bootstrap=self.bootstrap,
                    broker_is_ours=self._foreign is None, embedded_pid=broker_pid,
                ),
                cwd=ROOT, for_good=STOPPED_FOR_GOOD,
            )
            for name in process_names(self._instances)
        ]  # fmt: skip
        self._supervise(specs)
        self._await_ready(ports)

    def _supervise(self, specs: Sequence[ProcessSpec]) -> Supervisor:
        supervisor = Supervisor(
            specs, self.data, verbose=self._verbose, show=self._show,
            restarted=lambda name, cause, deaths: self._tell("restarted", process=name, cause=cause, deaths=deaths),
        )  # fmt: skip
        self._supervisors.append(supervisor)
        self._started.callback(supervisor.stop)
        supervisor.start()
        return supervisor

    def _await_ready(self, ports: Ports) -> None:
        """All start side by side: most of it is imports. One that says what it waits for is not waited for long."""
        began_s = time.monotonic()
        waits = dict.fromkeys(process_names(self._instances), Unready("it does not answer yet"))
        with httpx.Client(timeout=2.0, trust_env=False) as client:
            while waits:
                for name in list(waits):
                    unready = look(client, f"{ports.urls[name]}/readyz")
                    if unready is not None:
                        waits[name] = unready
                        continue
                    del waits[name]
                    seconds = round(time.monotonic() - began_s, 1)
                    self._show(f"{name} is ready ({seconds} s)")
                    self._tell("service_ready", service=name, seconds=seconds)
                self.raise_if_failed()
                if waits and begun_without(waits, time.monotonic() - began_s, self.data / "logs"):
                    self._show_unready(waits)
                    return
                time.sleep(_LOOK_EVERY_S)

    def _show_unready(self, waits: Mapping[str, Unready]) -> None:
        for name, unready in waits.items():
            self._show(f"{name} is not ready: {unready.why}. All else goes on; headrace doctor says how to mend it")
            self._tell("service_not_ready", service=name, reasons=unready.why)
