"""`headrace doctor` on a running platform: nothing to find; then one thing after the other is broken, said, and mended.

On the embedded broker; on Apache Kafka, with a topic that somebody has set otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.local.platform import LocalPlatform
from services.console.doctor.diagnosis import CHECKS, diagnose
from services.console.doctor.finding import Check
from services.console.doctor.whereabouts import Whereabouts, look
from shared.contracts.control import DefinitionsApplied, PlatformFounded
from shared.contracts.envelope import Event, Message, encode
from shared.contracts.topics import CONTROL, RECORDS
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_clients.admin_client import AdminClient
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import SendError, TopicPartition
from shared.runtime.topic_settings import MAX_MESSAGE_BYTES
from tests.e2e.visits import SOURCE, accepted, apply, publish, readiness
from tests.eventually import eventually

HEADRACE = Path(sys.executable).with_name("headrace")
CONTROL_TP = TopicPartition(CONTROL.name, 0)
Told = dict[str, Any]


def doctor(data: Path, code: int) -> Told:
    """What `headrace doctor --json` prints, and that it ends so."""
    command = [HEADRACE, "doctor", "--json", "--seconds", "2", "--data", data]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=data)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.timeout(400)
def test_a_platform_that_is_well_and_what_is_broken_in_it(tmp_path: Path) -> None:
    with LocalPlatform(tmp_path, any_ports=True) as running:
        apply(running.console)
        publish(running.urls["ingestion"], ["1", "2"])
        eventually(lambda: accepted(running.console) == 2, 60, "records flow")
        told = doctor(tmp_path, 0)
        assert (told["findings"], told["not_made"], told["made"]) == ([], [], [check.value for check in CHECKS])

        stopped = running.process_ids["features"]
        os.kill(stopped, signal.SIGSTOP)
        [finding] = doctor(tmp_path, 1)["findings"]
        assert (finding["check"], finding["subject"]) == ("services", "features")
        os.kill(stopped, signal.SIGCONT)
        assert doctor(tmp_path, 0)["findings"] == []

        broker = running.process_ids["broker"]
        os.kill(broker, signal.SIGSTOP)
        eventually(lambda: "kafka" in readiness(running.urls["features"])[1], 60, "the services miss the broker")
        told = doctor(tmp_path, 1)
        assert {finding["check"] for finding in told["findings"]} == {"broker"}, told
        assert {"services", "clocks", "disks", "code"} <= {*told["made"]}
        os.kill(broker, signal.SIGCONT)
        eventually(lambda: readiness(running.urls["features"])[0] == 200, 60, "and find it again")
        assert doctor(tmp_path, 0)["findings"] == []


def test_settings_of_topics_on_apache_kafka(apache_kafka: str, tmp_path: Path) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    broker = KafkaBroker(KafkaSettings(bootstrap=apache_kafka, topic_prefix=prefix))
    where = Whereabouts(broker, apache_kafka, {}, tmp_path, str(tmp_path))
    admin, records = broker.admin(), RECORDS.of(SOURCE.name).name
    admin.create(CONTROL.name, 1, {"retention.ms": "-1"})
    admin.create(records, 1, {"max.message.bytes": str(MAX_MESSAGE_BYTES)})
    declared = DefinitionsApplied(request_id="q", definitions=(SOURCE,), by="test")
    write(broker, PlatformFounded(log_id="ours"), declared)

    def wrong() -> list[tuple[str, str]]:
        found = diagnose(look(where, 0.0)).findings
        return [(finding.subject, finding.happened) for finding in found if finding.check is Check.RETENTION]

    assert wrong() == [], "the cluster's own retention is that of the definition, 7 days"
    for topic, name, value in ((CONTROL.name, "retention.ms", "1000"), (records, "cleanup.policy", "compact")):
        resource = ConfigResource(ConfigResourceType.TOPIC, prefix + topic, {name: value})
        admin._ask(partial(altered, resource))
    expected = [
        (CONTROL.name, "retention.ms is 1000, and should be -1"),
        (records, "cleanup.policy is compact, and should be delete"),
    ]
    eventually(lambda: wrong() == expected, 20, f"{expected} is found: {wrong()}")
    admin.close()


def altered(resource: ConfigResource, client: AdminClient) -> None:
    client.alter_configs([resource])


def write(broker: KafkaBroker, *events: Event) -> None:
    """Events of nobody's in control.v1."""
    writer, answers = broker.writer(), list[SendError | None]()

    def answered(_: int | None, error: SendError | None) -> None:
        answers.append(error)

    for event in events:
        sent = encode(Message(event.ce_type, "test", 0, "", event))
        writer.send(CONTROL_TP, sent.key, sent.value, sent.headers, answered)
    writer.flush(20.0)
    writer.close()
    assert answers == [None] * len(events)
