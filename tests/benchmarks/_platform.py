"""A whole platform with a model that answers: latency to a prediction, the rate of the chain, and what idling costs."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx
import orjson

from deploy.local.platform import LocalPlatform
from shared.contracts.envelope import Message, decode
from shared.contracts.flow import PredictionMade
from shared.contracts.topics import PREDICTIONS
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.log import SendError, TopicPartition
from tests.reports import Report, Row, resident_mb

MODEL, LABELLED = "payment_risk", 400
DEFINITIONS = f"""
kind: Source
name: payments
key: card_id
id: payment_id
time: {{field: at, allowed_lateness: 1s}}
fields: {{payment_id: string, card_id: string, amount: {{type: number, minimum: 0}}, note: string}}
---
kind: Source
name: verdicts
key: payment_id
id: payment_id
time: {{field: at, allowed_lateness: 1s}}
fields: {{payment_id: string, is_fraud: {{type: integer, minimum: 0, maximum: 1}}}}
---
kind: FeatureView
name: card_activity
source: payments
entity: card_id
ttl: 7d
features: {{mean_1d: {{aggregate: mean, of: amount, over: 1d}}, count_1h: {{aggregate: count, over: 1h}}}}
---
kind: Model
name: {MODEL}
scores: payments
mode: stream
task: binary
inputs: {{fields: [amount], views: [card_activity]}}
label: {{source: verdicts, field: is_fraud, joins: payment_id, matures_after: 1s, expires_after: 1h}}
training: {{search: {{families: [logistic_regression], trials: 1}}, seed: 7, minimum_rows: {LABELLED // 2}}}
monitor: {{metric: log_loss, clip: 0.01, expected_run_length: 1000000}}
retrain: {{policy: never}}
rollout: {{approval: auto}}
"""
PAYMENTS, VERDICTS = TopicPartition("payments", 0), TopicPartition("verdicts", 0)
MODEL_WITHIN_S, SEEN_WITHIN_S = 240.0, 120.0
CALM_S, IDLE_S, IDLE_WINDOWS = 15.0, 10.0, 5
IDLE_GOAL, FIRST_GOAL_MS = 15.0, 1_000.0


def platform(given: argparse.Namespace, report: Report) -> None:
    """One platform on each broker."""
    for kind in given.brokers:
        with (
            tempfile.TemporaryDirectory() as folder,
            LocalPlatform(Path(folder), broker=kind, any_ports=True, show=lambda line: None) as running,
        ):
            file = Path(folder) / "definitions.yaml"
            file.write_text(DEFINITIONS)
            running.apply([file])
            watched = Watched(running)
            watched.until_it_answers()
            report.add(*_latencies(watched, str(kind), given.seconds))
            report.add(*_idle(watched, str(kind)))
            report.add(*_first_after_a_pause(watched, str(kind)))
            report.add(_chain(watched, str(kind), given.chain))
            watched.close()


class Watched:
    """Publishes payments, and notes when the prediction of each is read from its log."""

    def __init__(self, running: LocalPlatform) -> None:
        self.running = running
        broker = KafkaBroker(running.kafka)
        self._reader, self._writer, self._admin = broker.reader(), broker.writer(), broker.admin()
        self._predictions = TopicPartition(PREDICTIONS.of(MODEL).name, 0)
        self._sent_s: dict[str, float] = {}
        self._seen_s: dict[str, float] = {}
        self._answered = False
        self._number = 0

    def until_it_answers(self) -> None:
        """Labelled payments until a version answers."""
        until_s = time.monotonic() + MODEL_WITHIN_S
        while self._admin.partitions(self._predictions.topic) is None:
            time.sleep(0.1)
        self._reader.assign({self._predictions: 0})
        for n in range(LABELLED):
            payment = self.payment()
            self.over_kafka(payment)
            said = {"payment_id": payment["payment_id"], "at": payment["at"], "is_fraud": n % 2}
            self._send(VERDICTS, str(payment["payment_id"]), said)
        while not self._answered:
            self.over_kafka(self.payment())
            self.look(0.5)
            self.running.raise_if_failed()
            if time.monotonic() > until_s:
                raise TimeoutError(f"no version answers after {MODEL_WITHIN_S:.0f} s")

    def payment(self) -> dict[str, str | float]:
        """One of about 200 bytes; a label follows how much was paid."""
        self._number += 1
        return {
            "payment_id": f"p{self._number}", "card_id": f"c{self._number % 500}", "at": time.time_ns() // 1_000_000,
            "amount": 10.0 + 90.0 * (self._number % 2), "note": "x" * 110,
        }  # fmt: skip

    def over_kafka(self, payment: Mapping[str, str | float]) -> str:
        """Publish as a client of the broker does; its id."""
        self._sent_s[str(payment["payment_id"])] = time.monotonic()
        self._send(PAYMENTS, str(payment["card_id"]), payment)
        return str(payment["payment_id"])

    def over_http(self, client: httpx.Client, payment: Mapping[str, str | float]) -> str:
        """Publish as a client of ingestion does; its id."""
        self._sent_s[str(payment["payment_id"])] = time.monotonic()
        client.post(f"{self.running.urls['ingestion']}/v1/records/payments", json=payment).raise_for_status()
        return str(payment["payment_id"])

    def look(self, wait_s: float) -> None:
        """Read what is there, or comes within the time."""
        self._writer.drain(0)
        for records in self._reader.poll(wait_s, 10_000).values():
            now_s = time.monotonic()
            for record in records:
                entry = decode(record.key, record.value, record.headers)
                if isinstance(entry, Message) and isinstance(entry.event, PredictionMade):
                    self._seen_s.setdefault(entry.event.record_id or "", now_s)
                    self._answered |= entry.event.answered_by is not None

    def waited_ms(self, ids: Iterable[str]) -> list[float]:
        """From the publication of each to its prediction. Raises TimeoutError if one does not come."""
        wanted, until_s = list(ids), time.monotonic() + SEEN_WITHIN_S
        while any(one not in self._seen_s for one in wanted):
            self.look(0.5)
            if time.monotonic() > until_s:
                raise TimeoutError("a prediction does not come")
        return [1000 * (self._seen_s[one] - self._sent_s[one]) for one in wanted]

    def close(self) -> None:
        for port in (self._reader, self._writer, self._admin):
            port.close()

    def _send(self, tp: TopicPartition, key: str, value: Mapping[str, str | float]) -> None:
        self._writer.send(tp, key.encode(), orjson.dumps(value), (), _must_stand)
        self._writer.drain(0)


def _must_stand(_offset: int | None, error: SendError | None) -> None:
    if error is not None:
        raise error


def _latencies(watched: Watched, kind: str, seconds: float) -> list[Row]:
    """At 20 records a second, over Kafka and over HTTP."""
    with httpx.Client(trust_env=False) as client:
        ways: dict[str, Callable[[], str]] = {
            "Kafka": lambda: watched.over_kafka(watched.payment()),
            "HTTP": lambda: watched.over_http(client, watched.payment()),
        }
        rows: list[Row] = []
        for way, publish in ways.items():
            ids: list[str] = []
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                ids.append(publish())
                next_s = time.monotonic() + 0.05
                while (left_s := next_s - time.monotonic()) > 0:
                    watched.look(left_s)
            waited = sorted(watched.waited_ms(ids))
            for name, value in (("p50", statistics.median(waited)), ("p99", waited[len(waited) * 99 // 100])):
                rows.append(Row(f"{kind}: {way} to prediction, {name}", value, waited[0], waited[-1], "ms"))
    return rows


def _idle(watched: Watched, kind: str) -> list[Row]:
    time.sleep(CALM_S)
    pids = {**watched.running.process_ids, **_brokers(), "headrace up": os.getpid()}  # the supervisor runs in here
    windows = [_window(pids) for _ in range(IDLE_WINDOWS)]

    def cpu(*names: str) -> list[float]:
        return [sum(window[name].cpu for name in names) for window in windows]

    return [
        *(Row.of(f"{kind}: idle {name}", cpu(name), "% of a core") for name in pids),
        *(Row.of(f"{kind}: memory of {name}", [one[name].memory_mb for one in windows], "MB") for name in pids),
        Row.of(f"{kind}: all services idle", cpu(*watched.running.urls), "% of a core"),
        Row.of(f"{kind}: services, broker and `headrace up` idle", cpu(*pids), "% of a core", most=IDLE_GOAL),
    ]


class Idle(NamedTuple):
    """Of one process in one window: percents of a core, and what it holds at the end."""

    cpu: float
    memory_mb: float


def _window(pids: Mapping[str, int]) -> dict[str, Idle]:
    before, began_s = {name: _used_s(pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(IDLE_S)
    used, took_s = {name: _used_s(pid) for name, pid in pids.items()}, time.monotonic() - began_s
    return {name: Idle(100 * (used[name] - before[name]) / took_s, resident_mb(pid)) for name, pid in pids.items()}


def _first_after_a_pause(watched: Watched, kind: str) -> list[Row]:
    waited: list[float] = []
    for _ in range(5):
        time.sleep(8)
        waited += watched.waited_ms([watched.over_kafka(watched.payment())])
    return [Row.of(f"{kind}: first record after a pause, to prediction", waited, "ms", most=FIRST_GOAL_MS)]


def _chain(watched: Watched, kind: str, records: int) -> Row:
    began_s = time.monotonic()
    ids = [watched.over_kafka(watched.payment()) for _ in range(records)]
    watched.waited_ms(ids)
    return Row.of(f"{kind}: whole chain, {records:,} records", [records / (time.monotonic() - began_s)], "records/s")


def _brokers() -> dict[str, int]:
    """Apache Kafka's process, which this one started."""
    found: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, after = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name == "java" and int(after.split()[1]) == os.getpid():
            found["broker (Apache Kafka)"] = int(folder.name)
    return found


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
