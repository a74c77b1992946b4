from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.structs import TopicPartition

from deploy.broker_probe import broker_ids
from deploy.kafka import artifacts
from deploy.kafka.cluster import KafkaCluster, KafkaFailed
from deploy.ports import is_free
from shared.runtime.kafka_clients.connection import DirectSocket
from tests.eventually import eventually
from tests.unit.deploy.processes import python, runs

# A node that was killed refuses connections: kafka-python's own way leaves their sockets to the collector.
DIRECT: dict[str, Any] = {"proxy_url": f"{DirectSocket.SCHEMES[0]}://"}


def _create(bootstrap: str, topic: str, replicas: int = 1) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap, **DIRECT)
    admin.create_topics([NewTopic(topic, 1, replicas)])
    admin.close()


def _send(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, **DIRECT, acks="all", max_request_size=8 * 1024 * 1024)
    for value in values:
        producer.send(topic, value, partition=0).get(30)
    producer.close()


def _read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, **DIRECT, auto_offset_reset="earliest", enable_auto_commit=False
    )
    consumer.assign([TopicPartition(topic, 0)])
    values: list[bytes] = []

    def all_read() -> bool:
        for records in consumer.poll(timeout_ms=500).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    try:
        eventually(all_read, 30, f"{count} records of {topic}")
    finally:
        consumer.close()
    return values


def test_data_and_ports_survive_kill_and_stop(tmp_path: Path) -> None:
    cluster = KafkaCluster(tmp_path / "kafka")
    with cluster:
        _create(cluster.bootstrap, "events")
        _send(cluster.bootstrap, "events", b"one", b"x" * 3_000_000)
        first = cluster.process_ids[1]
        cluster.kill(1)
        assert cluster.process_ids == {}
        assert not runs(first)
        cluster.restart(1)
        assert _read(cluster.bootstrap, "events", 2) == [b"one", b"x" * 3_000_000]
        _send(cluster.bootstrap, "events", b"three")
    again = KafkaCluster(tmp_path / "kafka")
    assert again.bootstrap == cluster.bootstrap
    with again:
        assert _read(again.bootstrap, "events", 3)[2] == b"three"
        last = again.process_ids[1]
    assert not runs(last)
    assert is_free(int(again.bootstrap.split(":")[1]))


@pytest.mark.proof
def test_three_nodes_go_on_while_one_is_down(tmp_path: Path) -> None:
    with KafkaCluster(tmp_path / "kafka", nodes=3) as cluster:
        ports = [int(one.split(":")[1]) for one in cluster.bootstrap.split(",")]
        assert broker_ids(ports[0]) == {1, 2, 3}
        _create(cluster.bootstrap, "events", replicas=3)
        _send(cluster.bootstrap, "events", b"before")
        cluster.kill(1)
        _send(cluster.bootstrap, "events", b"meanwhile")
        cluster.restart(1)
        assert broker_ids(ports[0]) == {1, 2, 3}
        assert _read(cluster.bootstrap, "events", 2) == [b"before", b"meanwhile"]


def test_the_number_of_nodes_is_fixed_when_the_folder_is_first_used(tmp_path: Path) -> None:
    KafkaCluster(tmp_path, nodes=1)
    with pytest.raises(KafkaFailed, match="holds a cluster of 1 nodes, not 3"):
        KafkaCluster(tmp_path, nodes=3)


def test_a_second_start_from_the_same_folder_is_refused(tmp_path: Path) -> None:
    with KafkaCluster(tmp_path) as cluster:
        with pytest.raises(KafkaFailed, match=r"is taken\. Does another Headrace run"):
            KafkaCluster(tmp_path).start()
        assert broker_ids(int(cluster.bootstrap.split(":")[1])) == {1}


def test_a_node_that_does_not_come_up_shows_the_tail_of_its_log(tmp_path: Path) -> None:
    cluster = KafkaCluster(tmp_path)
    with cluster:
        pass
    meta = tmp_path / "node-1" / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(KafkaFailed, match=r"(?s)ended while it started.*log\.txt:.*7"):
        cluster.start()
    assert cluster.process_ids == {}


def test_a_cluster_id_that_looks_like_an_option_is_taken(tmp_path: Path) -> None:
    cluster = KafkaCluster(tmp_path)
    cluster._cluster.cluster_id = "-" + cluster._cluster.cluster_id[1:]
    cluster._format(cluster._cluster.nodes[0])
    meta = (tmp_path / "node-1" / "data" / "meta.properties").read_text()
    assert f"cluster.id={cluster._cluster.cluster_id}\n" in meta


def test_nodes_die_with_their_parent(tmp_path: Path) -> None:
    parent = python(
        "import sys, time; from pathlib import Path; from deploy.kafka.cluster import KafkaCluster\n"
        "cluster = KafkaCluster(Path(sys.argv[1])); cluster.start()\n"
        "print(cluster.process_ids[1], flush=True); time.sleep(60)",
        tmp_path,
    )
    assert parent.stdout is not None
    with parent.stdout:
        node = int(parent.stdout.readline())
    assert runs(node)
    parent.kill()
    parent.wait()
    eventually(lambda: not runs(node), 20, "the node's end")


def test_two_processes_that_fetch_at_once_run_maven_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In Maven's place a program that counts its calls, takes its time, and copies the real jars.
    jars, calls, programs = artifacts.fetch(), tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    maven = programs / "mvn"
    maven.write_text(
        f'#!/bin/sh\necho call >> "{calls}"\nsleep 1\n'
        f'for argument; do case "$argument" in -DoutputDirectory=*) cp -r "{jars}" "${{argument#*=}}";; esac; done\n'
    )
    maven.chmod(maven.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    script = "import pathlib, sys, deploy.kafka.artifacts as kafka; print(kafka.fetch(pathlib.Path(sys.argv[1])))"
    both = [python(script, tmp_path / "cache") for _ in range(2)]
    printed = [process.communicate()[0].strip() for process in both]
    assert printed == [str(tmp_path / "cache" / jars.name)] * 2
    assert calls.read_text() == "call\n"
    artifacts.verify(artifacts.fetch(tmp_path / "cache"))
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [jars.name, "kafka.lock"]


def test_a_jar_of_other_content_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "jars"
    shutil.copytree(artifacts.fetch(), copy)
    artifacts.verify(copy)
    with (copy / "kafka-clients-4.3.0.jar").open("ab") as jar:
        jar.write(b"more")
    (copy / "jose4j-0.9.6.jar").unlink()
    with pytest.raises(artifacts.ArtifactsUnavailable, match=r"jose4j-0\.9\.6\.jar, kafka-clients-4\.3\.0\.jar"):
        artifacts.verify(copy)


def test_a_missing_java_is_said_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(artifacts.ArtifactsUnavailable, match=r"java is not on the PATH.*make java"):
        artifacts.java()
