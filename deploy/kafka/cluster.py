"""A cluster of Apache Kafka nodes on this machine: format, start, stop, kill, restart."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from pydantic import BaseModel

from deploy.broker_probe import broker_ids
from deploy.kafka.artifacts import fetch, java
from deploy.kafka.node_settings import Node, properties
from deploy.ports import free_ports, is_free
from deploy.spawn import collect, end, kill, spawn
from shared.contracts.errors import HeadraceError

_JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
)
_STOP_GRACE_S = 10.0


class KafkaFailed(HeadraceError):
    """A node or one of Kafka's tools did not do what it should; the message ends with its log's last lines."""


class _Cluster(BaseModel):
    cluster_id: str
    nodes: list[Node]


class KafkaCluster:
    """Apache Kafka in `folder`; ports and data are kept there from one start to the next.

    `nodes` is 1 or 3, fixed when the folder is first used. Nodes are numbered from 1. The nodes die with this process.
    `further` are properties that every node gets besides ours, or in their place.
    """

    def __init__(
        self,
        folder: Path,
        nodes: Literal[1, 3] = 1,
        *,
        cache: Path | None = None,
        start_timeout_s: float = 60.0,
        further: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._cache = cache
        self._start_timeout_s = start_timeout_s
        self._further = dict(further or {})
        self._cluster = self._remembered_or_new(nodes)
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap(self) -> str:
        """`host:port` of every node, comma separated."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self._cluster.nodes)

    @property
    def process_ids(self) -> dict[int, int]:
        """Process id of every node that runs."""
        return {number: process.pid for number, process in self._running.items() if collect(process) is None}

    def start(self) -> None:
        """Start every node and return when all of them know each other; on failure nothing is left running."""
        if self._running:
            raise KafkaFailed(f"the cluster in {self._folder} runs already: stop it before it is started again")
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            for node in self._cluster.nodes:
                self._format(node)
            for node in self._cluster.nodes:
                self._launch(node)
            for node in self._cluster.nodes:
                self._await(node, members={one.id for one in self._cluster.nodes})
            on_failure.pop_all()

    def stop(self) -> None:
        """SIGTERM to every node, SIGKILL after 10 s; the log on disk is whole either way."""
        end(list(self._running.values()), _STOP_GRACE_S)
        self._running.clear()

    def kill(self, node: int) -> None:
        """SIGKILL to a node that runs."""
        process = self._running.pop(node, None)
        if process is None or collect(process) is not None:
            raise KafkaFailed(f"node {node} of the cluster in {self._folder} does not run, so it cannot be killed")
        kill(process)

    def restart(self, node: int) -> None:
        """Stop the node if it still runs, start it again on its data and ports, and wait until the cluster has it."""
        process = self._running.pop(node, None)
        if process is not None:
            end([process], _STOP_GRACE_S)
        [settings] = [one for one in self._cluster.nodes if one.id == node]
        self._launch(settings)
        self._await(settings, members={node})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _remembered_or_new(self, nodes: int) -> _Cluster:
        file = self._folder / "cluster.json"
        if file.exists():
            remembered = _Cluster.model_validate_json(file.read_bytes())
            if len(remembered.nodes) != nodes:
                raise KafkaFailed(
                    f"{self._folder} holds a cluster of {len(remembered.nodes)} nodes, not {nodes}: "
                    "ask for as many, or use another folder"
                )
            return remembered
        ports = free_ports(2 * nodes)
        cluster = _Cluster(
            cluster_id=urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
            nodes=[Node(id=i + 1, port=ports[2 * i], controller_port=ports[2 * i + 1]) for i in range(nodes)],
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".new")
        unfinished.write_text(cluster.model_dump_json(indent=2))
        unfinished.replace(file)
        return cluster

    def _home(self, node: Node) -> Path:
        return self._folder / f"node-{node.id}"

    def _format(self, node: Node) -> None:
        home = self._home(node)
        data = home / "data"
        home.mkdir(exist_ok=True)
        settings = properties(node, self._cluster.nodes, data) | self._further
        lines = (f"{key}={value}" for key, value in settings.items())
        (home / "node.properties").write_text("\n".join(lines) + "\n")
        if (data / "meta.properties").exists():
            return
        # With "=", for an id may begin with a hyphen.
        command = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster.cluster_id}"]
        result = subprocess.run(
            [*command, "-c", str(home / "node.properties")], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise KafkaFailed(f"Apache Kafka could not format {data}:\n{result.stdout}{result.stderr}")

    def _launch(self, node: Node) -> None:
        for port in (node.port, node.controller_port):
            if not is_free(port):
                raise KafkaFailed(
                    f"port {port} of node {node.id} is taken. Does another Headrace run from {self._folder}? "
                    "Stop it, or whatever else holds the port"
                )
        home = self._home(node)
        with (home / "log.txt").open("ab") as log:
            self._running[node.id] = spawn([*self._java(), "kafka.Kafka", home / "node.properties"], output=log)

    def _await(self, node: Node, members: set[int]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while not broker_ids(node.port) >= members:
            if collect(self._running[node.id]) is not None:
                raise KafkaFailed(f"node {node.id} of Apache Kafka ended while it started.\n{self._log_tail(node)}")
            if time.monotonic() > deadline:
                raise KafkaFailed(
                    f"node {node.id} of Apache Kafka was not ready after {self._start_timeout_s:.0f} s.\n"
                    f"{self._log_tail(node)}"
                )
            time.sleep(0.05)

    def _log_tail(self, node: Node, lines: int = 20) -> str:
        file = self._home(node) / "log.txt"
        tail = file.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"The last lines of {file}:", *tail])

    def _java(self) -> list[str]:
        return [java(), *_JVM, "-cp", f"{fetch(self._cache)}{os.sep}*"]
