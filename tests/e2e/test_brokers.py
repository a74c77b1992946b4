"""Brokers that are missing, have forgotten everything, or hold another log: said, with what mends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.kafka.cluster import KafkaCluster
from deploy.local.embedded import EmbeddedBroker
from deploy.local.platform import LocalPlatform
from deploy.local.platform_environment import START_ORDER, Ports, any_free_ports, environment
from deploy.local.supervisor import ProcessesFailed
from deploy.spawn import collect, end, spawn
from shared.contracts.control import PlatformFounded
from shared.contracts.envelope import Message, encode
from shared.contracts.topics import CONTROL
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import SendError, TopicPartition
from shared.runtime.settings import STOPPED_FOR_GOOD
from shared.runtime.to_the_end import to_the_end
from tests.e2e.visits import accepted, apply, publish, readiness
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
MENDS_IT = "headrace up --fresh"
CONTROL_TP = TopicPartition(CONTROL.name, 0)


@contextmanager
def seven_processes(data: Path, ports: Ports) -> Generator[dict[str, subprocess.Popen[bytes]]]:
    """The services, under nobody's supervision, on a broker at `ports.broker`; logs in `data`."""
    data.mkdir(parents=True)
    with ExitStack() as stack:
        running: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(lambda: end(list(running.values()), 10.0))
        for name in START_ORDER:
            said = environment(
                name, os.environ, ports=ports, data=data, bootstrap=f"127.0.0.1:{ports.broker}", broker_is_ours=True,
                embedded_pid=os.getpid(),
            )  # fmt: skip
            log = stack.enter_context((data / f"{name}.log").open("wb"))
            running[name] = spawn([sys.executable, "-m", f"services.{name}"], env=said, cwd=ROOT, output=log)
        yield running


@pytest.mark.timeout(240)
def test_a_broker_that_is_missing_and_one_that_has_forgotten(tmp_path: Path) -> None:
    data, ports = tmp_path / "embedded", any_free_ports()
    bootstrap = f"127.0.0.1:{ports.broker}"
    with seven_processes(data, ports) as running:
        for name, url in ports.urls.items():
            eventually(lambda url=url: "kafka" in readiness(url)[1], 60, f"{name} says that it waits for the broker")
            status, reasons = readiness(url)
            assert (status, bootstrap in reasons["kafka"]) == (503, True), reasons
            assert f'"bootstrap": "{bootstrap}"' in (data / f"{name}.log").read_text()
            assert httpx.get(f"{url}/livez").status_code == 200
        with EmbeddedBroker(ports.broker) as broker:
            for name, url in ports.urls.items():
                eventually(lambda url=url: readiness(url)[0] == 200, 30, f"{name} goes on: {readiness(url)}")
            apply(ports.urls["console"])
            publish(ports.urls["ingestion"], ["1"])
            eventually(lambda: accepted(ports.urls["console"]) == 1, 30, "a record is accepted")
            broker.kill()
            broker.start()
            for name, process in running.items():
                eventually(lambda p=process: collect(p) is not None, 30, f"{name} stops, for its log is gone")
                said = (data / f"{name}.log").read_text()
                assert MENDS_IT in said, said
                assert process.returncode == STOPPED_FOR_GOOD
            assert topics(bootstrap) == frozenset(), "nobody has begun anew"
    # What the message names: `headrace up --fresh`, with the same data folder.
    with LocalPlatform(tmp_path, any_ports=True, fresh=True) as platform:
        apply(platform.console)
        assert accepted(platform.console) == 0


@pytest.mark.timeout(400)
def test_apache_kafka_keeps_what_was_and_state_of_another_log_is_refused(tmp_path: Path) -> None:
    with (
        KafkaCluster(tmp_path / "kafka") as cluster,
        LocalPlatform(tmp_path, broker=cluster.bootstrap, any_ports=True) as platform,
    ):
        apply(platform.console)
        publish(platform.urls["ingestion"], ["1", "2"])
        eventually(lambda: accepted(platform.console) == 2, 30, "two records are accepted")
        log_ids, pids = log_ids_of(platform), platform.process_ids
        cluster.kill(1)
        for name, url in platform.urls.items():
            eventually(lambda url=url: "kafka" in readiness(url)[1], 60, f"{name} says that the broker is away")
        cluster.restart(1)
        for name, url in platform.urls.items():
            eventually(lambda url=url: readiness(url)[0] == 200, 60, f"{name} goes on: {readiness(url)}")
        publish(platform.urls["ingestion"], ["2", "3"])
        eventually(lambda: accepted(platform.console) == 3, 60, "the new record is accepted, the old one counts once")
        assert platform.process_ids == pids, "nobody had to be started again"
    # The same folder as `headrace up --broker kafka` has it.
    with LocalPlatform(tmp_path, broker="kafka", any_ports=True) as platform:
        assert log_ids_of(platform) == log_ids
        publish(platform.urls["ingestion"], ["3", "4"])
        eventually(lambda: accepted(platform.console) == 4, 30, "the new record is accepted, the old one counts once")
        assert not list(tmp_path.glob("aside-*"))
    with EmbeddedBroker() as other:
        found_platform(other.bootstrap)
        before = control_entries(other.bootstrap)
        with pytest.raises(ProcessesFailed, match=r"was made beside log .* but the broker holds log") as refused:
            LocalPlatform(tmp_path, broker=other.bootstrap, any_ports=True).start()
        assert MENDS_IT in str(refused.value)
        assert control_entries(other.bootstrap) == before, "nothing was written into the other log"


def log_ids_of(platform: LocalPlatform) -> set[str]:
    return {httpx.get(f"{url}/progress").json()["log_id"] for url in platform.urls.values()}


def topics(bootstrap: str) -> frozenset[str]:
    admin = KafkaBroker(KafkaSettings(bootstrap=bootstrap, embedded=True)).admin()
    try:
        return admin.topics()
    finally:
        admin.close()


def found_platform(bootstrap: str) -> None:
    """Another platform's first entry."""
    broker = KafkaBroker(KafkaSettings(bootstrap=bootstrap))
    admin, writer = broker.admin(), broker.writer()
    admin.create(CONTROL.name, 1, {})
    founding = encode(Message("founding", "headrace/registry/0", 0, "", PlatformFounded(log_id="another-log")))
    errors: list[SendError | None] = []
    writer.send(CONTROL_TP, founding.key, founding.value, founding.headers, lambda _, error: errors.append(error))
    writer.flush(10.0)
    assert errors == [None]
    writer.close()
    admin.close()


def control_entries(bootstrap: str) -> int:
    reader = KafkaBroker(KafkaSettings(bootstrap=bootstrap)).reader()
    reader.assign({CONTROL_TP: 0})
    entries = sum(len(records) for _, records in to_the_end(reader, [CONTROL_TP], silent_s=60.0))
    reader.close()
    return entries
