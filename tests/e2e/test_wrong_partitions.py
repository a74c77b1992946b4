"""A topic with other partitions than its definition says: all else goes on, also from the start, and deleting the topic
mends it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx
import orjson
import pytest

from deploy.kafka.cluster import KafkaCluster
from deploy.local import readiness as local_readiness
from deploy.local.definitions_in_force import put_in_force
from deploy.local.platform import LocalPlatform
from shared.contracts.topics import INTAKE
from shared.runtime.kafka_admin import KafkaAdmin
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_clients.admin_client import AdminClient
from shared.runtime.kafka_settings import KafkaSettings
from tests.e2e.visits import SOURCE, accepted, apply, publish, readiness, visit
from tests.eventually import eventually

OTHER = SOURCE.model_copy(update={"name": "calls"})
WRONG = (SOURCE.topic_name, INTAKE.of(SOURCE.name).name)


@pytest.mark.timeout(300)
def test_all_else_goes_on_beside_a_topic_with_other_partitions_and_deleting_it_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_readiness, "AT_WORK_AFTER_S", 3.0)
    shown = list[str]()
    with KafkaCluster(tmp_path / "kafka") as cluster:
        admin = KafkaBroker(KafkaSettings(bootstrap=cluster.bootstrap)).admin()
        with LocalPlatform(tmp_path, broker=cluster.bootstrap, any_ports=True) as platform:
            for topic in WRONG:
                admin.create(topic, 3, {})
            apply(platform.console)
            put_in_force(platform.console, [OTHER], by="test")
            eventually(lambda: len(waits(platform)) == 1, 30, "the task that writes them waits")
        with LocalPlatform(tmp_path, broker=cluster.bootstrap, any_ports=True, show=shown.append) as platform:
            [said] = [line for line in shown if "ingestion is not ready" in line]
            assert all(f"Topic {topic} has 3 partitions" in said for topic in WRONG)
            assert "headrace doctor" in said
            call = orjson.dumps(visit("1"))
            answer = httpx.post(f"{platform.urls['ingestion']}/v1/records/{OTHER.name}", content=call, timeout=20.0)
            assert answer.status_code == 202, answer.text
            refused = httpx.post(f"{platform.urls['ingestion']}/v1/records/{SOURCE.name}", content=call)
            assert (refused.status_code, "has 3 partitions" in refused.text) == (503, True), refused.text
            for topic in WRONG:
                delete(admin, topic)
            eventually(lambda: readiness(platform.urls["ingestion"])[0] == 200, 30, f"it goes on: {waits(platform)}")
            publish(platform.urls["ingestion"], ["1", "2"])
            eventually(lambda: accepted(platform.console) == 2, 30, "records are accepted")
            assert [admin.partitions(topic) for topic in WRONG] == [1, 1]
        admin.close()


def waits(platform: LocalPlatform) -> dict[str, str]:
    return readiness(platform.urls["ingestion"])[1]


def delete(admin: KafkaAdmin, topic: str) -> None:
    admin._ask(partial(_delete, topic))
    until_s = time.monotonic() + 30
    while admin.partitions(topic) == 3 and time.monotonic() < until_s:
        time.sleep(0.1)


def _delete(topic: str, client: AdminClient) -> None:
    client.delete_topics([topic])
