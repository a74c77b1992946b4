"""Requests are facts: on disk before they are answered, sent once Kafka takes them, whatever dies in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import structlog

from services.serving import request_log
from services.serving.request_file import Fact, RequestFile
from services.serving.request_log import LARGEST_FACT_BYTES, SEND_EVERY_S, FactTooLarge, LogUnwritable, RequestLog
from shared.contracts.errors import ForeignLog
from shared.contracts.identity import record_cause
from shared.runtime.partitioning import partition_of
from shared.runtime.snapshot import Rests, snapshot
from tests import builders as b
from tests.memory_host import AtOnce, MemoryHost
from tests.unit.serving.running import PREDICTED, Platform

RECORD = {"card_id": "c1", "transaction_id": "t1", "amount": 12.5, "category": "food"}


def file_of(folder: Path) -> RequestFile:
    return RequestFile(folder / "requests.sqlite")


def test_a_request_stands_in_the_log_as_it_was_answered(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    answer = platform.client().post(f"/v1/models/{b.MODEL}/predict?at={b.T0_MS}", json=RECORD).json()
    assert platform.predictions() == []
    platform.settle()
    [made] = platform.predictions()
    assert (made.origin, made.record_id, made.entity) == ("http", "t1", "c1")
    assert (made.request_id, made.answered_by, made.inputs) == (answer["request_id"], 1, answer["inputs"])
    assert made.outputs[1].output[0] == answer["prediction"]["probability"]
    [message] = platform.host.events(PREDICTED)
    assert (message.sequence, message.key, message.time_ms) == (None, "c1", b.T0_MS)


SEND_EVERY_MS = round(SEND_EVERY_S * 1000)
GIVEN = f"00-{'a' * 32}-{'b' * 16}-01"


def test_a_fact_carries_on_the_trace_of_its_request_even_after_a_crash(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    client, path = platform.client(), f"/v1/models/{b.MODEL}/predict"
    for headers in ({"traceparent": GIVEN}, {"traceparent": "00-1"}, {}):
        client.post(path, json=RECORD, headers=headers)
    client.post(path, json={**RECORD, "transaction_id": None}, headers={})
    platform.start()
    platform.settle()
    messages = platform.host.events(PREDICTED)
    traces = [message.trace or "" for message in messages]
    assert traces[0][:36] == GIVEN[:36]
    assert traces[0][52:] == GIVEN[52:]
    of_record = record_cause(b.SOURCE, "t1").replace("-", "")
    assert [trace[3:35] for trace in traces[1:]] == [of_record, of_record, messages[3].id.replace("-", "")]
    assert len({trace[36:52] for trace in (*traces, GIVEN)}) == 5


def test_rows_of_the_inference_protocol_carry_on_its_trace() -> None:
    platform = Platform().with_first_version()
    inputs = platform.client().get(f"/v2/models/{b.MODEL}").json()["inputs"]
    given = {"BYTES": "food", "FP32": 1.0}
    body = {"inputs": [{**one, "shape": [2], "data": [given[one["datatype"]]] * 2} for one in inputs]}
    answer = platform.client().post(f"/v2/models/{b.MODEL}/infer", json=body, headers={"traceparent": GIVEN})
    assert answer.status_code == 200
    platform.settle()
    traces = [message.trace or "" for message in platform.host.events(PREDICTED)]
    assert [trace[:36] for trace in traces] == [GIVEN[:36]] * 2
    assert len(set(traces)) == 2


def test_a_file_of_an_earlier_release_keeps_its_requests_and_takes_traces(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    with sqlite3.connect(path) as earlier:
        columns = "number INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT, partition INTEGER, time_ms INTEGER, event BLOB"
        earlier.execute(f"CREATE TABLE facts ({columns})")
        earlier.execute("INSERT INTO facts (model, partition, time_ms, event) VALUES ('m', 0, 1, '{}')")
    file_of(tmp_path).add([Fact("m", 0, 2, b"{}", GIVEN)], ())
    assert [fact.trace for _, fact in file_of(tmp_path).after(0, 10)] == [None, GIVEN]


def test_what_was_sent_is_removed(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    platform.client().post(f"/v1/models/{b.MODEL}/predict", json=RECORD)
    assert len(file_of(tmp_path).after(0, 10)) == 1
    platform.settle()
    platform.host.clock.pass_ms(2_000)
    platform.settle()
    platform.process.close()
    assert len(file_of(tmp_path).after(0, 10)) == 0


class Busy:
    """What threads there are wait for an object store that does not answer; whatever else is asked for waits behind."""

    def __init__(self) -> None:
        self.at_once, self.away = AtOnce(), False

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        return Future() if self.away else self.at_once.submit(fn, *args)


def test_requests_are_answered_while_the_object_store_is_away(tmp_path: Path) -> None:
    busy = Busy()
    platform = Platform(MemoryHost(folder=tmp_path, executor=busy)).with_first_version()
    busy.away = True
    client = platform.client(within_s=10.0)
    answers = [client.post(f"/v1/models/{b.MODEL}/predict", json=RECORD) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    platform.settle()
    assert [made.request_id for made in platform.predictions()] == [answer.json()["request_id"] for answer in answers]
    platform.host.clock.pass_ms(2_000)
    platform.settle()
    platform.process.close()
    assert len(file_of(tmp_path).after(0, 10)) == 0


def test_requests_are_answered_while_kafka_is_away_and_survive_a_crash(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    platform.host.broker.away = True
    client = platform.client()
    answers = [client.post(f"/v1/models/{b.MODEL}/predict", json=RECORD) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    platform.start()
    platform.host.broker.away = False
    platform.settle()
    assert [made.request_id for made in platform.predictions()] == [answer.json()["request_id"] for answer in answers]


def test_what_is_sent_twice_has_one_id(tmp_path: Path) -> None:
    """A crash after sending and before removing."""
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    platform.client().post(f"/v1/models/{b.MODEL}/predict", json=RECORD)
    platform.host.clock.pass_ms(SEND_EVERY_MS)
    platform.process.turn(0.0)
    platform.start()
    platform.settle()
    first, second = platform.host.events(PREDICTED)
    assert first.id == second.id
    assert first.event == second.event


def test_many_wait_in_the_file_and_few_in_memory(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    log = RequestLog.of(platform.process)
    log.append([b.prediction(origin="http", request_id=f"q{i}") for i in range(2_500)], b.T0_MS, 1).result()
    platform.host.clock.pass_ms(SEND_EVERY_MS)
    platform.process.work()
    assert platform.process.outside.pending == 1_000
    platform.settle()
    assert [made.request_id for made in platform.predictions()] == [f"q{i}" for i in range(2_500)]


def test_the_partition_is_that_of_the_entity(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path))
    RequestLog.of(platform.process).append([b.prediction(entity="c42")], b.T0_MS, 8).result()
    [(_, fact)] = file_of(tmp_path).after(0, 10)
    assert fact.partition == partition_of(b"c42", 8)


def test_numbers_are_never_used_twice_and_each_file_has_its_own_identity(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    file.add([Fact("m", 0, 1, b"{}")], ())
    file.add((), [1])
    file.close()
    again = file_of(tmp_path)
    again.add([Fact("m", 0, 1, b"{}")], ())
    assert [number for number, _ in again.after(0, 10)] == [2]
    assert again.identity == file.identity
    assert file_of(tmp_path / "other").identity != file.identity


def test_a_file_of_another_log_is_refused(tmp_path: Path) -> None:
    file_of(tmp_path).bind("another")
    platform = Platform(MemoryHost(folder=tmp_path))
    with pytest.raises(ForeignLog, match="headrace up --fresh"):
        platform.settle()


def test_a_fact_too_large_for_any_log_is_refused() -> None:
    platform = Platform()
    with pytest.raises(FactTooLarge):
        RequestLog.of(platform.process).append([b.prediction(entity="x" * LARGEST_FACT_BYTES)], b.T0_MS, 1)


def test_without_its_log_a_request_is_not_answered(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    file = RequestLog.of(platform.process)._file
    assert file is not None
    file.close()
    answer = platform.client().post(f"/v1/models/{b.MODEL}/predict", json=RECORD)
    assert answer.status_code == 503
    assert "requests cannot be logged" in answer.json()["error"]
    assert "see to the disk under HEADRACE_DATA" in answer.json()["error"]


def test_after_the_stop_nothing_is_taken(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    platform.process.close()
    with pytest.raises(LogUnwritable, match="stopping"):
        RequestLog.of(platform.process).append([b.prediction()], b.T0_MS, 1)


def test_a_disk_without_room_for_the_log_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def refuse(*_: object) -> RequestFile:
        raise full

    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    with monkeypatch.context() as patched:
        patched.setattr(request_log, "RequestFile", refuse)
        platform.start()
        platform.settle()
        [waits] = platform.process.awaited.values()
        assert "the log of requests" in waits
        assert "goes on by itself once there is room" in waits
        assert snapshot(platform.process, "first").without_room == [Rests("the log of requests", "", None)]
        answer = platform.client().post(f"/v1/models/{b.MODEL}/predict", json=RECORD)
        assert answer.status_code == 503
        assert "there is no room for their log" in answer.json()["error"]
        ready = platform.client().get("/v2/health/ready")
        assert (ready.status_code, "cannot be logged" in ready.text) == (400, True)
        platform.process.close()
        platform.start()
    platform.host.clock.pass_ms(1_000)
    platform.settle()
    assert not platform.process.awaited
    assert platform.client().get("/v2/health/ready").status_code == 200
    platform.client().post(f"/v1/models/{b.MODEL}/predict", json=RECORD)
    platform.settle()
    assert len(platform.predictions()) == 1


def test_what_a_full_disk_does_not_let_go_of_is_let_go_of_later(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Platform().with_first_version()
    log, add = RequestLog.of(platform.process), RequestFile.add

    def refuse(file: RequestFile, facts: Iterable[Fact], sent: Iterable[int]) -> None:
        if not facts:
            raise sqlite3.OperationalError("database or disk is full")
        add(file, facts, sent)

    def look() -> Sequence[tuple[int, Fact]]:
        """What the file holds, once what was sent could be removed."""
        platform.host.clock.pass_ms(round(request_log.FORGET_EVERY_S * 1_000))
        platform.settle()
        log._thread.submit(int).result()
        assert log._file is not None
        return log._file.after(0, 10)

    with monkeypatch.context() as patched:
        patched.setattr(RequestFile, "add", refuse)
        platform.client().post(f"/v1/models/{b.MODEL}/predict", json=RECORD)
        platform.settle()
        assert len(look()) == 1
    assert len(look()) == 0
    assert len(platform.predictions()) == 1


def test_requests_wait_for_room_on_a_disk_that_fills_up_before_their_log_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is made before control.v1 names the log that it belongs to."""
    platform = Platform()

    def refuse(*_: object) -> None:
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(RequestFile, "bind", refuse)
        platform.settle()
        assert "the log of requests" in platform.process.awaited
    platform.host.clock.pass_ms(1_100)
    platform.settle()
    assert platform.process.awaited == {}


def test_a_full_disk_is_not_asked_without_end_to_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it holds: each answer of the disk wakes the driver, which would ask at once again."""
    platform = Platform().with_first_version()
    log, asked = RequestLog.of(platform.process), 0

    def refuse(_: RequestFile, facts: Iterable[Fact], __: Iterable[int]) -> None:
        nonlocal asked
        assert not facts
        asked += 1
        raise sqlite3.OperationalError("database or disk is full")

    def turn() -> int:
        log.turn()
        log._thread.submit(int).result()
        return asked

    monkeypatch.setattr(RequestFile, "add", refuse)
    for number in range(request_log.MOST_FORGOTTEN):
        log._in_flight += 1
        log._has_landed(number)
    assert [turn() for _ in range(5)] == [1] * 5
    platform.host.clock.pass_ms(round(request_log.FORGET_EVERY_S * 1_000))
    assert [turn() for _ in range(5)] == [2] * 5


def test_a_damaged_log_is_set_aside_and_said(tmp_path: Path) -> None:
    platform = Platform(MemoryHost(folder=tmp_path)).with_first_version()
    path = tmp_path / "requests.sqlite"
    platform.process.close()
    path.write_bytes(b"not a database, and long enough to be taken for one" * 100)
    with structlog.testing.capture_logs() as said:
        platform.start()
    [line] = [line for line in said if "set aside" in line["event"]]
    assert Path(line["file"]).read_bytes().startswith(b"not a database")
    platform.settle()
    platform.client().post(f"/v1/models/{b.MODEL}/predict", json=RECORD)
    platform.settle()
    assert len(platform.predictions()) == 1
