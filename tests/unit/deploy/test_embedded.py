from __future__ import annotations

import socket
import time

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from deploy.broker_probe import broker_ids
from deploy.local.embedded import EmbeddedBroker, EmbeddedBrokerFailed
from deploy.ports import is_free
from tests.eventually import eventually
from tests.unit.deploy.processes import python, runs


def _topics(bootstrap: str) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        return set(admin.list_topics())
    finally:
        admin.close()


def test_it_answers_and_frees_its_port_when_it_stops() -> None:
    with EmbeddedBroker() as broker:
        assert broker.bootstrap == f"127.0.0.1:{broker.port}"
        assert broker_ids(broker.port)
        process = broker.process_id
    assert process is not None
    assert not runs(process)
    assert is_free(broker.port)


def test_it_comes_back_empty_on_the_same_port_after_a_kill() -> None:
    with EmbeddedBroker() as broker:
        first = broker.process_id
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        admin.create_topics([NewTopic("kept-in-memory", 1, 1)])
        admin.close()
        assert "kept-in-memory" in _topics(broker.bootstrap)
        broker.kill()
        assert broker.process_id is None
        broker.restart()
        assert broker.process_id not in (None, first)
        assert "kept-in-memory" not in _topics(broker.bootstrap)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EmbeddedBrokerFailed, match=f"port {port} is taken"):
            EmbeddedBroker(port).start()


def test_what_does_not_run_cannot_be_killed() -> None:
    with pytest.raises(EmbeddedBrokerFailed, match="does not run"):
        EmbeddedBroker().kill()


def test_it_dies_with_its_parent() -> None:
    parent = python(
        "import time; from deploy.local.embedded import EmbeddedBroker\n"
        "broker = EmbeddedBroker(); broker.start(); print(broker.process_id, broker.port, flush=True); time.sleep(60)"
    )
    assert parent.stdout is not None
    with parent.stdout:
        process_id, port = map(int, parent.stdout.readline().split())
    assert runs(process_id)
    parent.kill()
    parent.wait()
    eventually(lambda: not runs(process_id) and is_free(port), 20, "the broker's end")


def test_the_probe_takes_a_server_that_is_no_broker_for_not_ready() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        assert broker_ids(silent.getsockname()[1], timeout_s=0.2) == frozenset()
        assert time.monotonic() - started < 5
