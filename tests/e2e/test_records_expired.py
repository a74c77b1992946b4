"""Retention on Apache Kafka removes records that a task still needs: its service stops, the doctor says so, and the
platform is rebuilt from the archive by the commands of docs/operations.md."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import orjson
import pytest
from kafka.structs import TopicPartition as Wire

from deploy.kafka.cluster import KafkaCluster
from deploy.local.platform import LocalPlatform
from deploy.local.supervisor import ProcessesFailed
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_clients.admin_client import AdminClient
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import SendError, TopicPartition
from tests.e2e.visits import SOURCE, accepted, apply, publish, visit
from tests.eventually import eventually

HEADRACE = Path(sys.executable).with_name("headrace")
TP = TopicPartition(SOURCE.topic_name, 0)


@pytest.mark.timeout(600)
def test_records_that_are_gone_stop_the_service_and_the_archive_rebuilds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ROWS_PER_SEGMENT", "5")
    old = tmp_path / "old"
    with KafkaCluster(tmp_path / "kafka") as cluster:
        monkeypatch.setenv("HEADRACE_KAFKA_BOOTSTRAP", cluster.bootstrap)
        with LocalPlatform(old, broker=cluster.bootstrap, any_ports=True) as running:
            apply(running.console)
            publish(running.urls["ingestion"], [f"v{n}" for n in range(12)])
            eventually(lambda: accepted(running.console) == 12, 60, "records flow")
            segments = old / "objects"
            eventually(lambda: len([*segments.rglob("segments/records/*")]) == 2, 60, "two segments are written")
        send_and_delete(cluster.bootstrap, 7)
        with pytest.raises(ProcessesFailed), LocalPlatform(old, broker=cluster.bootstrap, any_ports=True) as running:
            running.wait(120)
        said = (old / "logs" / "ingestion.log").read_text()
        assert "up to 12, and what that log still holds begins at 19: 7 records that it needs went" in said, said
        ran = subprocess.run(
            [HEADRACE, "doctor", "--json", "--seconds", "0", "--data", old, "--console", "http://127.0.0.1:9"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lost = [one for one in json.loads(ran.stdout)["findings"] if one["check"] == "lost records"]
        assert [one["subject"] for one in lost] == [f"ingestion/intake/{SOURCE.topic_name}/0"], ran.stdout
        assert "headrace archive" in lost[0]["mend"]
    monkeypatch.delenv("HEADRACE_KAFKA_BOOTSTRAP")

    with LocalPlatform(tmp_path / "new", any_ports=True) as rebuilt:
        apply(rebuilt.console)
        archive = subprocess.run([HEADRACE, "archive", SOURCE.name, "--data", old], capture_output=True, check=True)
        ids = [orjson.loads(line)["visit"] for line in archive.stdout.splitlines()]
        assert sorted(ids) == sorted(f"v{n}" for n in range(12)), "10 from segments, 2 from the file of ingestion"
        publish(rebuilt.urls["ingestion"], ["v0"])  # waits until the source is known there; an id counts once
        command = [HEADRACE, "publish", SOURCE.name, "--console", rebuilt.console]
        subprocess.run(command, input=archive.stdout, capture_output=True, check=True)
        eventually(lambda: accepted(rebuilt.console) == 12, 60, "what was archived is there again")


def send_and_delete(bootstrap: str, count: int) -> None:
    """Records that nobody reads, and that retention takes away."""
    broker = KafkaBroker(KafkaSettings(bootstrap=bootstrap))
    writer, admin = broker.writer(), broker.admin()
    answers: list[SendError | None] = []
    ends: list[int] = []

    def answered(offset: int | None, error: SendError | None) -> None:
        answers.append(error)
        ends.append((offset or 0) + 1)

    for n in range(count):
        writer.send(TP, None, orjson.dumps(visit(f"lost-{n}")), (), answered)
    writer.flush(20.0)
    assert answers == [None] * count
    admin._ask(partial(delete, max(ends)))
    writer.close()
    admin.close()


def delete(below: int, client: AdminClient) -> None:
    client.delete_records({Wire(TP.topic, TP.partition): below})
