"""A running platform meets bad input, services that die, and the loss of its broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.local.platform import LocalPlatform
from deploy.local.supervisor import ProcessesFailed
from shared.contracts.flow import RecordAccepted
from shared.contracts.topics import RECORDS
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.log import SendError, TopicPartition
from tests.e2e.visits import SOURCE, accepted, apply, counts, publish, readiness, visit
from tests.eventually import eventually
from tests.scenarios.topic_history import TopicHistory

HEADRACE = Path(sys.executable).with_name("headrace")
TOPIC = TopicPartition(SOURCE.topic_name, 0)
LARGE = visit("large", page="x" * 985_000)
BAD = {
    "undecodable": b'{"page": "home", \xff',
    "too_large": orjson.dumps(LARGE),
    "wrong_type": orjson.dumps(visit("wrong", seconds="long")),
    "in_the_future": orjson.dumps(visit("ahead", at="2999-01-01T00:00:00Z")),
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalPlatform, list[str]]]:
    """A platform over the embedded broker with the source `readings`, and what it shows."""
    shown: list[str] = []
    with LocalPlatform(tmp_path_factory.mktemp("faults"), any_ports=True, show=shown.append) as running:
        apply(running.console)
        yield running, shown


@pytest.mark.timeout(120)
def test_what_does_not_fit_is_rejected_with_its_reason_and_the_partition_goes_on(
    platform: tuple[LocalPlatform, list[str]],
) -> None:
    running, _ = platform
    good = visit("good")
    send_raw(running, [*BAD.values(), orjson.dumps(good), orjson.dumps(good)])
    eventually(lambda: accepted(running.console) == 1, 30, "the record behind the bad ones is accepted")
    publish(running.urls["ingestion"], ["good"])
    publish(running.urls["ingestion"], ["next"])
    eventually(lambda: accepted(running.console) == 2, 30, "an id counts once, however often and by whom it is sent")
    found = counts(running.console)
    assert found["rejected_by_reason"] == dict.fromkeys(sorted(BAD), 1)
    assert (found["published"], found["accepted"]) == (len(BAD) + 4, 2)
    said = {one["reason"]: one for one in rejected(running.console)}
    assert said.keys() == BAD.keys()
    for offset, (reason, data) in enumerate(BAD.items()):
        assert (said[reason]["offset"], said[reason]["length"]) == (offset, len(data))
    assert "seconds" in said["wrong_type"]["detail"]
    assert "a number" in said["wrong_type"]["detail"]
    assert "985" in said["too_large"]["detail"]
    assert seconds_until_accepted(running, "good") < 2.0


@pytest.mark.timeout(60)
def test_a_request_with_lines_that_do_not_fit_is_refused_whole(platform: tuple[LocalPlatform, list[str]]) -> None:
    running, _ = platform
    before = counts(running.console)
    lines = [orjson.dumps(visit("fits")), b"{oops", orjson.dumps(visit("not", seconds=-1))]
    answer = httpx.post(f"{running.urls['ingestion']}/v1/records/{SOURCE.name}", content=b"\n".join(lines))
    assert answer.status_code == 422
    problems = [(one["line"], one["reason"], one["field"]) for one in answer.json()["problems"]]
    assert problems == [(2, "undecodable", None), (3, "out_of_range", "seconds")]
    assert "nothing was published" in answer.json()["error"]
    publish(running.urls["ingestion"], ["behind the refused"])
    eventually(lambda: accepted(running.console) == before["accepted"] + 1, 30, "only the later record is accepted")
    assert counts(running.console)["published"] == before["published"] + 1


@pytest.mark.timeout(120)
def test_a_service_that_dies_is_started_again_and_goes_on(platform: tuple[LocalPlatform, list[str]]) -> None:
    running, shown = platform
    start = accepted(running.console) + 1
    publish(running.urls["ingestion"], ["before"])
    eventually(lambda: accepted(running.console) == start, 30, "a record is accepted")
    before = running.process_ids
    os.kill(before["ingestion"], signal.SIGKILL)
    eventually(
        lambda: any("ended with signal SIGKILL; starting it again (1 of 5)" in line for line in shown), 10, "said"
    )
    eventually(lambda: readiness(running.urls["ingestion"])[0] == 200, 60, "ingestion is ready again")
    publish(running.urls["ingestion"], ["before", "after"])
    eventually(
        lambda: accepted(running.console) == start + 1, 30, "the new record is accepted, the old one counts once"
    )
    after = running.process_ids
    assert after["ingestion"] != before["ingestion"]
    assert {name: pid for name, pid in after.items() if name != "ingestion"} == {
        name: pid for name, pid in before.items() if name != "ingestion"
    }


@pytest.mark.timeout(120)
def test_a_platform_whose_embedded_broker_dies_stops_and_says_why(platform: tuple[LocalPlatform, list[str]]) -> None:
    running, _ = platform
    os.kill(running.process_ids["broker"], signal.SIGKILL)
    with pytest.raises(ProcessesFailed, match="headrace up --fresh"):
        running.wait(100)


def send_raw(running: LocalPlatform, values: Sequence[bytes]) -> None:
    """As any Kafka client would, all into one partition."""
    writer = KafkaBroker(running.kafka).writer()
    errors: list[SendError | None] = []
    for value in values:
        writer.send(TOPIC, b"any", value, (), lambda _, error: errors.append(error))
    writer.flush(20.0)
    writer.close()
    assert errors == [None] * len(values)


def rejected(console: str) -> list[dict[str, Any]]:
    """What the command says."""
    command = [HEADRACE, "rejected", SOURCE.name, "--json", "--console", console]
    return orjson.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)["rejected"]


def seconds_until_accepted(running: LocalPlatform, visit_id: str) -> float:
    """Between the broker's timestamps of the newest bad record and of the acceptance of the one behind it."""
    history = TopicHistory.read(KafkaBroker(running.kafka))
    sent = history.logs[TOPIC][len(BAD) - 1].timestamp_ms
    [read] = [
        read for read, event in history.events(RECORDS.of(SOURCE.name).name, RecordAccepted)
        if event.record_id == visit_id
    ]  # fmt: skip
    [taken] = [record for record in history.logs[read.tp] if record.offset == read.offset]
    return (taken.timestamp_ms - sent) / 1000
