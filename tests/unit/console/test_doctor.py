"""`headrace doctor`: nothing to find on a platform that is well; each fault, staged for real, is said with its mend."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from obstore.store import LocalStore
from prometheus_client import CollectorRegistry

from deploy.local.definitions_in_force import put_in_force
from deploy.local.running_platform import RunningPlatform as Note
from deploy.ports import free_ports
from services.console.cli import main
from services.console.doctor.diagnosis import CHECKS, diagnose
from services.console.doctor.facts import Limits
from services.console.doctor.finding import Check, Diagnosis, Finding
from services.console.doctor.service_checks import services
from services.console.doctor.state_looks import look_at_copies
from services.console.doctor.whereabouts import Whereabouts, look
from shared.contracts.envelope import encode
from shared.contracts.topics import CONTROL
from shared.runtime import about as about_module
from shared.runtime.about import About, about_of, code_of
from shared.runtime.artifacts import ArtifactMissing
from shared.runtime.http_server import Health, build_app, serve
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import TopicPartition
from shared.runtime.snapshot import snapshot
from shared.runtime.task_file import Changes
from shared.runtime.task_folder import TaskFolder
from shared.runtime.written_topics import HOW_TO_MEND, wrong_partitions
from tests import builders as b
from tests.unit.console.running import LOG_ID, RunningPlatform
from tests.unit.console.test_dead_letters import Defect

INTAKE, RECORDS = f"intake.{b.SOURCE}.v1", f"records.{b.SOURCE}.v1"
ACCEPT_TASK = f"ingestion/accept/{INTAKE}/0"
RECORD = {"card_id": "c1", "at": b.T0_MS, "amount": 1.0, "category": "food"}


class Patient:
    """A platform of three services that has taken a record, and stands still until it is driven."""

    def __init__(self, running: RunningPlatform, folder: Path) -> None:
        self.running = running
        self.world, self.broker = running.world, running.world.broker
        for name in running.urls:
            TaskFolder(folder / "state" / name / "0").bind(LOG_ID)
        self.where = Whereabouts(self.broker, "memory", running.urls, folder, str(folder / "objects"))

    def diagnosis(self, **other: Any) -> Diagnosis:
        return diagnose(look(replace(self.where, **other), 0.0))

    def finding(self, check: Check, **other: Any) -> Finding:
        """The only thing that is wrong."""
        found = self.diagnosis(**other)
        assert [finding.check for finding in found.findings] == [check], found.findings
        [finding] = found.findings
        assert not found.not_made
        return finding

    def publish(self, record_id: str) -> None:
        record = json.dumps({**RECORD, "transaction_id": record_id}).encode()
        self.broker.append(TopicPartition(b.SOURCE, 0), None, record, ())


@pytest.fixture
def defect() -> Defect:
    return Defect()


@pytest.fixture
def patient(tmp_path: Path, defect: Defect) -> Iterator[Patient]:
    platform = RunningPlatform(altered=defect)
    (tmp_path / "objects").mkdir()
    for store in (platform.world.artifacts, *(p.artifacts for p in platform.world.processes.values())):
        store._store = LocalStore(tmp_path / "objects")
    with platform as running:
        put_in_force(running.console, [b.source()], by="ann")
        running.until("/v1/progress", lambda found: f"{b.SOURCE}/0" in found["ingestion"]["applied"])
        body = json.dumps({**RECORD, "transaction_id": "t1"})
        httpx.post(f"{running.urls['ingestion']}/v1/records/{b.SOURCE}", content=body, trust_env=False)
        running.world.broker.admin().create(
            "training.dead.v1", 1, {}
        )  # as training does, which is not of this platform
        running.until("/v1/counts", lambda found: found["sources"][b.SOURCE]["accepted"] == 1)
        running.stand_still()
        running.drive(100)
        yield Patient(running, tmp_path)


def test_a_platform_that_is_well_has_nothing_to_find(patient: Patient) -> None:
    found = patient.diagnosis()
    assert (found.findings, found.not_made, found.blind) == ([], [], False)
    assert found.made == [*Check] == [*CHECKS]


# --- the log


def test_a_broker_that_is_away_is_said_and_all_else_is_looked_into(patient: Patient) -> None:
    [port] = free_ports(1)
    bootstrap = f"127.0.0.1:{port}"
    broker = KafkaBroker(KafkaSettings(bootstrap=bootstrap))
    found = patient.diagnosis(broker=broker, bootstrap=bootstrap)
    [finding] = found.findings
    assert (finding.check, finding.subject) == (Check.BROKER, bootstrap)
    assert "No Kafka broker answers" in finding.happened
    assert {Check.SERVICES, Check.CLOCKS, Check.DISKS, Check.CODE} <= {*found.made}
    assert {one.check for one in found.not_made} >= {Check.TOPICS, Check.RETENTION, Check.STATE, Check.DEAD_LETTERS}
    assert all(bootstrap in one.reason for one in found.not_made)


def test_a_topic_that_is_missing_and_who_makes_it(patient: Patient) -> None:
    del patient.broker._topics[RECORDS]
    finding = patient.finding(Check.TOPICS)
    assert (finding.subject, finding.happened) == (RECORDS, "it does not exist")
    assert "start ingestion" in finding.mend


def test_a_topic_with_other_partitions_than_its_definition_says(patient: Patient) -> None:
    patient.broker.admin().create("spare", 3, {})
    patient.broker._topics[RECORDS] = patient.broker._topics["spare"]
    finding = patient.finding(Check.TOPICS)
    assert finding.happened == "it has 3 partitions, the definitions say 1"
    assert finding.mend == HOW_TO_MEND


@pytest.mark.parametrize(
    ("topic", "name", "value", "matters"),
    [
        (CONTROL.name, "retention.ms", "604800000", "the platform"),
        (CONTROL.name, "cleanup.policy", "compact,delete", "gap"),
        (RECORDS, "cleanup.policy", "compact", "gap"),
        (RECORDS, "retention.ms", "1000", "not read"),
        (INTAKE, "retention.bytes", "1000000", "before they are read"),
        (INTAKE, "max.message.bytes", "20000", "stops the service"),
    ],
)
def test_settings_of_a_topic_of_ours_that_lose_data(
    patient: Patient, topic: str, name: str, value: str, matters: str
) -> None:
    patient.broker.settings[topic][name] = value
    finding = patient.finding(Check.RETENTION)
    assert (finding.subject, matters in finding.matters) == (topic, True)
    assert finding.happened.startswith(f"{name} is {value}, and should be ")
    assert f"--entity-name {topic} --add-config {name}=" in finding.mend


def test_how_long_users_keep_their_own_topic_is_theirs_and_longer_is_not_wrong(patient: Patient) -> None:
    patient.broker.settings[b.SOURCE] |= {"retention.ms": "1000", "cleanup.policy": "compact"}
    patient.broker.settings[RECORDS]["retention.ms"] = "-1"
    assert patient.diagnosis().findings == []


def test_a_control_log_whose_beginning_has_expired(patient: Patient) -> None:
    patient.broker.expire(TopicPartition(CONTROL.name, 0), 1)
    found = patient.diagnosis().findings
    assert (found[0].check, found[0].subject) == (Check.LOG, CONTROL.name)
    assert "holds 1 to" in found[0].happened


def test_records_that_a_task_needs_and_its_log_has_let_go_of(patient: Patient) -> None:
    for record_id in ("t2", "t3", "t4"):
        patient.publish(record_id)
    patient.broker.expire(TopicPartition(b.SOURCE, 0), 3)
    finding = patient.finding(Check.LOST_RECORDS)
    assert finding.subject == f"ingestion/intake/{b.SOURCE}/0"
    assert "up to 1, and what that log still holds begins at 3: 2 records are gone" in finding.happened
    assert "headrace archive" in finding.mend


def test_records_before_the_first_that_a_task_has_read(patient: Patient) -> None:
    """It has said something at position 0, so it does not begin anew where its log does now: RecordsExpired."""
    patient.running.drive(300, pass_ms=50)
    for copy in (patient.where.data / "objects" / LOG_ID / "copies").rglob("*-*-*"):
        copy.unlink()
    folder = TaskFolder(patient.where.data / "state" / "ingestion" / "0")
    file = folder.open(ACCEPT_TASK)
    patient.broker.expire(TopicPartition(INTAKE, 0), 1)
    assert patient.diagnosis(services={}).findings == []  # it has never done anything
    file.commit(Changes(0, 0, meta={"ordinal": 1}))
    file.close()
    [finding] = patient.diagnosis(services={}).findings
    assert (finding.check, finding.subject) == (Check.LOST_RECORDS, ACCEPT_TASK)
    assert "up to 0, and what that log still holds begins at 1" in finding.happened


# --- services and their tasks


def test_a_service_that_does_not_answer_and_the_last_word_of_its_log(patient: Patient) -> None:
    [port] = free_ports(1)
    urls = {**patient.running.urls, "features": f"http://127.0.0.1:{port}"}
    logs = patient.where.data / "logs"
    logs.mkdir()
    lines = ({"event": "started", "level": "info"}, {"event": "features/0 is held by another", "level": "error"})
    (logs / "features.log").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    finding = patient.finding(Check.SERVICES, services=urls, logs=logs)
    assert finding.subject == "features"
    assert f"nothing answers at http://127.0.0.1:{port}" in finding.happened
    assert finding.happened.endswith("its log ends with: features/0 is held by another")


def test_a_loop_that_does_not_turn(patient: Patient) -> None:
    patient.running.healths["registry"].turned_s = time.monotonic() - 60
    finding = patient.finding(Check.SERVICES)
    assert finding.subject == "registry"
    assert finding.happened.startswith("its loop has not turned for 6")


def test_what_answers_and_is_no_service(patient: Patient) -> None:
    urls = {**patient.running.urls, "features": f"{patient.running.console}/v1"}
    finding = patient.finding(Check.SERVICES, services=urls)
    assert "no service of this version" in finding.happened


def test_a_full_disk_is_said_with_the_task_that_stands(patient: Patient) -> None:
    patient.publish("t2")
    patient.running.on_thread(patient.world.places["ingestion"].files.fill)
    patient.publish("t3" * 10_000)
    patient.running.drive(20, pass_ms=50)
    found = patient.diagnosis().findings
    waits = [finding for finding in found if finding.check == Check.SERVICES]
    assert waits
    assert all(finding.subject == "ingestion" and "cannot be written" in finding.happened for finding in waits)
    assert all("free some room" in finding.mend for finding in waits)


def test_a_task_that_waits_for_what_does_not_come(patient: Patient) -> None:
    event = b.message(b.intake(), source=f"ingestion/intake/{b.SOURCE}/0", sequence=2, control=99)
    sent = encode(event)
    patient.broker.append(TopicPartition(INTAKE, 0), sent.key, sent.value, sent.headers)
    patient.running.drive(100)
    finding = patient.finding(Check.TASKS)
    assert finding.subject == ACCEPT_TASK
    assert "needs control.v1 up to 99" in finding.happened
    assert finding.mend == "bring what it waits for"


def test_a_table_that_waits_for_its_copy_is_no_task_that_waits_for_its_file(patient: Patient) -> None:
    facts = look(patient.where, 0.0)
    table = f"table features.{b.VIEW}.v1/0"
    waits = {table: f"no copy that holds what stood before can be read: {ArtifactMissing('x', 'away')}"}
    waiting = {name: replace(one, reasons=waits) for name, one in facts.services.items() if name == "ingestion"}
    [finding] = services(replace(facts, services=waiting, before=waiting))
    assert finding.happened.startswith(f"{table} waits: ")
    assert "part of a table" in finding.matters
    assert "declare the view under a new name" in finding.mend


def test_a_task_that_waits_for_a_topic_with_other_partitions_is_told_how_to_have_them(patient: Patient) -> None:
    facts = look(patient.where, 0.0)
    waits = {ACCEPT_TASK: wrong_partitions("orders", 4, 1)}
    waiting = {name: replace(one, reasons=waits) for name, one in facts.services.items() if name == "ingestion"}
    [finding] = services(replace(facts, services=waiting, before=waiting))
    assert "has 4 partitions" in finding.happened
    assert finding.mend == HOW_TO_MEND


def test_a_task_of_nobody_and_one_of_two(patient: Patient) -> None:
    process = patient.world.processes["ingestion"]
    process.owned.tasks.pop(ACCEPT_TASK)
    health = patient.running.healths["ingestion"]
    health.said(snapshot(process, "0"))
    finding = patient.finding(Check.TASKS)
    assert (finding.subject, "no instance of ingestion works on it" in finding.happened) == (ACCEPT_TASK, True)
    urls = patient.running.urls
    twice = patient.diagnosis(services={**urls, "ingestion-1": urls["ingestion"]}).findings
    assert ["2 instances of ingestion work on it" in finding.happened for finding in twice].count(True) == 1


# --- what is kept


def test_a_copy_that_is_too_old(patient: Patient) -> None:
    patient.world.artifacts.away = True
    patient.publish("t2")
    patient.running.drive(20, pass_ms=60_000)
    found = [finding for finding in patient.diagnosis().findings if finding.check == Check.COPIES]
    assert ACCEPT_TASK in {finding.subject for finding in found}
    assert all("further than its newest copy" in finding.happened for finding in found)


def test_a_copy_that_is_not_where_its_task_says(patient: Patient) -> None:
    patient.running.drive(300, pass_ms=50)
    copies = [*(patient.where.data / "objects" / LOG_ID / "copies").rglob("*-*-*")]
    assert any("ingestion~accept" in str(copy) for copy in copies)
    assert patient.diagnosis().findings == []
    for copy in copies:
        copy.unlink()
    found = patient.diagnosis().findings
    assert {(finding.check, "is not there" in finding.happened) for finding in found} == {(Check.COPIES, True)}
    assert ACCEPT_TASK in {finding.subject for finding in found}


def test_an_object_store_that_is_gone(patient: Patient) -> None:
    shutil.rmtree(patient.where.data / "objects")
    found = patient.diagnosis()
    [finding] = found.findings
    assert (finding.check, "there is no folder" in finding.happened) == (Check.COPIES, True)
    assert found.not_made == []


def test_an_object_store_that_is_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports(1)
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x",
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    began_s = time.monotonic()
    _, fault = look_at_copies("s3://bucket", LOG_ID, ours=False, within_s=1.0)
    assert fault is not None
    assert "HEADRACE_OBJECT_STORE" in fault
    assert time.monotonic() - began_s < 5


def test_a_disk_that_is_nearly_full(patient: Patient) -> None:
    free = shutil.disk_usage(patient.where.data).free
    found = patient.diagnosis(limits=Limits(disk_free_bytes=2 * free)).findings
    assert {finding.check for finding in found} == {Check.DISKS}
    assert all("are free" in finding.happened for finding in found)
    assert any(str(patient.where.data) in finding.subject for finding in found)


def test_state_of_another_log(patient: Patient) -> None:
    TaskFolder(patient.where.data / "state" / "features" / "0").bind("another")
    finding = patient.finding(Check.STATE)
    assert "made beside log another" in finding.happened
    assert LOG_ID in finding.happened
    assert "headrace up --fresh" in finding.mend


def test_a_broker_that_has_forgotten_what_services_and_files_know(patient: Patient) -> None:
    patient.broker._topics.clear()
    found = patient.diagnosis().findings
    state = [finding for finding in found if finding.check == Check.STATE]
    assert len(state) == 2 * len(patient.running.urls)
    assert all("holds none" in finding.happened for finding in state)


@pytest.mark.parametrize("state_is_here", [True, False])
def test_entries_of_control_that_a_service_has_read_and_the_broker_lost(patient: Patient, state_is_here: bool) -> None:
    patient.broker.log(TopicPartition(CONTROL.name, 0)).records.pop()
    data = patient.where.data if state_is_here else patient.where.data / "elsewhere"
    found = patient.diagnosis(data=data)
    assert {finding.subject for finding in found.findings if finding.check == Check.STATE} == {*patient.running.urls}
    assert (Check.STATE in found.made) == state_is_here


# --- what must be the same everywhere


@pytest.fixture
def also(patient: Patient) -> Iterator[Callable[[str, Callable[[], About]], dict[str, str]]]:
    """Serves one more process, which says of itself what a test wants; the URLs with it."""
    stops: list[Callable[[], None]] = []

    def served(name: str, about: Callable[[], About], process: str = "console") -> dict[str, str]:
        [port] = free_ports(1)
        health = Health(name.partition("-")[0])
        health.said(snapshot(patient.world.processes[process], "1"))
        stops.append(serve(build_app(health, CollectorRegistry(), (), about), "127.0.0.1", port))
        return {**patient.running.urls, name: f"http://127.0.0.1:{port}"}

    yield served
    for stop in stops:
        stop()


@pytest.mark.parametrize(("seconds", "way"), [(60, "ahead of"), (-60, "behind")])
def test_clocks_that_are_apart(patient: Patient, also: Any, seconds: int, way: str) -> None:
    right = about_of("features", "0", 300.0, patient.where.data)

    def wrong() -> About:
        now = right()
        return now.model_copy(update={"now_ms": now.now_ms + seconds * 1_000})

    finding = patient.finding(Check.CLOCKS, services=also("features", wrong))
    assert (finding.subject, f"s {way} this machine's" in finding.happened) == ("features", True)
    assert "NTP" in finding.mend


def test_an_entry_of_control_from_the_future(patient: Patient) -> None:
    patient.broker._now_ms = lambda: time.time_ns() // 1_000_000 + 3_600_000
    sent = encode(b.message(b.tick(), source="somebody"))
    patient.broker.append(TopicPartition(CONTROL.name, 0), sent.key, sent.value, sent.headers)
    finding = patient.finding(Check.CLOCKS)
    assert "ahead of this machine's clock" in finding.happened


def test_instances_with_other_code(
    patient: Patient, also: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one runs from a tree in which one line of the service differs."""
    other = tmp_path / "other"
    for part in ("shared", "services/ingestion"):
        shutil.copytree(about_module._ROOT / part, other / part)
    changed = other / "services/ingestion/accept.py"
    changed.write_text(f"{changed.read_text()}\n")
    with monkeypatch.context() as patch:
        patch.setattr(about_module, "_ROOT", other)
        about = about_of("ingestion", "1", 300.0, patient.where.data)
    urls = also("ingestion-1", about)
    found = [finding for finding in patient.diagnosis(services=urls).findings if finding.check == Check.CODE]
    [finding] = found
    assert (finding.subject, finding.happened) == (
        "ingestion and ingestion-1", "they differ in services/ingestion/"
    )  # fmt: skip


def test_instances_with_other_packages_and_services_with_other_contracts(patient: Patient, also: Any) -> None:
    right = about_of("ingestion", "1", 300.0, patient.where.data)
    code = code_of("ingestion")
    packages = {**code.packages, "orjson": "1.0"}
    other = code.model_copy(update={"packages": packages, "shared": "other"})
    urls = also("ingestion-1", lambda: right().model_copy(update={"code": other}))
    found = [finding for finding in patient.diagnosis(services=urls).findings if finding.check == Check.CODE]
    assert [finding.subject for finding in found] == ["ingestion and ingestion-1", "ingestion-1"]
    assert f"orjson ({code.packages['orjson']}, 1.0)" in found[0].happened
    assert "another shared/ than 3 of the 4" in found[1].happened


def test_two_releases_side_by_side_differ_and_each_has_all_tasks(patient: Patient, also: Any) -> None:
    right = about_of("ingestion", "1", 300.0, patient.where.data, release=2)
    other = code_of("ingestion").model_copy(update={"service": "other", "shared": "other"})
    urls = also("ingestion-1", lambda: right().model_copy(update={"code": other}), "ingestion")
    assert patient.diagnosis(services=urls).findings == []
    same = also("ingestion-1", lambda: right().model_copy(update={"code": other, "release": 1}), "ingestion")
    assert {finding.check for finding in patient.diagnosis(services=same).findings} == {Check.CODE, Check.TASKS}


def test_dead_letters_that_stand_until_they_are_replayed(patient: Patient, defect: Defect) -> None:
    patient.publish("poison-1")
    patient.running.drive(100)
    finding = patient.finding(Check.DEAD_LETTERS)
    assert finding.subject == "ingestion"
    assert "1 dead letter stands" in finding.happened
    assert "cannot take poison-1" in finding.happened
    assert "headrace dead replay" in finding.mend
    assert "One that it refuses cannot be mended so" in finding.mend


# --- the command


def test_the_command_says_one_line_a_finding_and_ends_accordingly(
    patient: Patient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    data = tmp_path / "noted"
    data.mkdir()
    Note(
        console=patient.running.console, bootstrap=f"127.0.0.1:{port}", embedded=True, services=patient.running.urls,
        data=str(patient.where.data),
    ).write(data)  # fmt: skip
    assert main(["doctor", "--data", str(data), "--seconds", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"broker: 127.0.0.1:{port}: No Kafka broker answers")
    assert "Why it matters: " in lines[0]
    assert "Mend: " in lines[0]
    assert lines[-1].startswith("1 thing is wrong, as far as ")
    assert any(line.startswith("not looked into: topics: ") for line in lines)
    assert main(["doctor", "--data", str(data), "--seconds", "0", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [finding["check"] for finding in document["findings"]] == ["broker"]
    assert set(document["made"]) | {one["check"] for one in document["not_made"]} == {*Check}


def test_where_there_is_nothing_to_look_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ports = free_ports(2)
    monkeypatch.setenv("HEADRACE_KAFKA_BOOTSTRAP", f"127.0.0.1:{ports[0]}")
    monkeypatch.setenv("HEADRACE_SERVICE_URLS", "{}")
    monkeypatch.chdir(tmp_path)
    console = f"http://127.0.0.1:{ports[1]}"
    assert main(["doctor", "--seconds", "0", "--console", console]) == 2
    said = capsys.readouterr()
    assert "there was nothing to look at" in said.err
    assert console in said.out


def test_settings_that_do_not_fit_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA_SECURITY_PROTOCOL", "nonsense")
    assert main(["doctor", "--data", str(tmp_path), "--console", "http://127.0.0.1:9"]) != 0
    assert "HEADRACE_KAFKA_SECURITY_PROTOCOL" in capsys.readouterr().err
