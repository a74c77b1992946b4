"""What both copiers read: `control.v1` with one source and one model, and records as the runtime writes them.

Each record is an event `RecordAccepted` whose data are 200 bytes of JSON, under one of 1,000 keys, with the headers
that every derived event carries, and each thousandth entry is a mark.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice

from shared.contracts.envelope import Encoded, Mark, Message, encode, encode_mark
from shared.contracts.flow import InputsComputed, RecordAccepted
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL, RECORDS, SCORING
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.log import SendError, TopicPartition
from shared.runtime.service import Service
from shared.runtime.step import Context, Output, Publish, Step
from tests import builders as b

CONTROL_TP = TopicPartition(CONTROL.name, 0)
RECORDS_TP = TopicPartition(RECORDS.of(b.SOURCE).name, 0)
TASK = f"features/compute/{RECORDS_TP.topic}/0"
WRITER = f"ingestion/accept/intake.{b.SOURCE}.v1/0"
DATA_BYTES = 200
KEYS = 1_000
BARE_TARGETS = ("bare", "safe")  # where kafka-python copies to, in its two manners
MARK_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class MeanAmount:
    """What the step keeps of a card."""

    count: int = 0
    mean: float = 0.0


def on_accepted(state: MeanAmount | None, message: Message, context: Context) -> tuple[MeanAmount | None, list[Output]]:
    """The record with the mean amount of its card before it; then it counts."""
    record, before = message.event, state or MeanAmount()
    assert isinstance(record, RecordAccepted)
    amount = record.value["amount"]
    assert isinstance(amount, float)
    computed = InputsComputed(
        model=b.MODEL, record_id=record.record_id, entity=message.key, late=record.late,
        inputs={"amount": amount, "mean": before.mean, "count": float(before.count)},
    )  # fmt: skip
    seen = before.count + 1
    after = MeanAmount(seen, before.mean + (amount - before.mean) / seen)
    return after, [Publish(SCORING.of(b.MODEL), message.key, computed, message.time_ms)]


def service() -> Service:
    """One step, which reads the records."""
    return Service("features", {"compute": Step("compute", MeanAmount, {RecordAccepted: on_accepted})})


def found(broker: KafkaBroker) -> None:
    """Write `control.v1`: the founding, and definitions that call for the one task."""
    admin = broker.admin()
    admin.create(CONTROL.name, 1, {})
    admin.close()
    write(broker, CONTROL_TP, decided())


def decided() -> Iterator[Encoded]:
    """The entries of `control.v1`."""
    model = b.model(inputs={"fields": ["amount"]})
    for n, event in enumerate((b.founded(), b.applied(b.source(), b.label_source(), model))):
        yield encode(Message(derived_id("decide", str(n)), "bench", b.T0_MS, "", event))


class RecordsLog:
    """The log that is copied, and how far it was written. `retention`: its settings, and those of what is derived."""

    topic = RECORDS_TP.topic

    def __init__(self, broker: KafkaBroker, seed: int, retention: Mapping[str, str]) -> None:
        admin = broker.admin()
        for topic in (self.topic, SCORING.of(b.MODEL).name, *BARE_TARGETS):
            admin.create(topic, 1, retention)
        admin.close()
        self._writer, self._entries = broker.writer(), entries(seed)

    def write(self, count: int) -> None:
        """The next `count` entries, acknowledged."""
        for encoded in islice(self._entries, count):
            self._writer.send(RECORDS_TP, encoded.key, encoded.value, encoded.headers, _fail)
        self._writer.flush(120)

    def close(self) -> None:
        """Give back the connection."""
        self._writer.close()


def entries(seed: int) -> Iterator[Encoded]:
    """Records without end, and every thousandth entry a mark."""
    rng, sequence = random.Random(seed), 0
    for n in count():
        time_ms = b.T0_MS + n
        if n % MARK_EVERY == MARK_EVERY - 1:
            yield encode_mark(Mark(WRITER, sequence, time_ms - 60_000, 2))
            continue
        sequence += 1
        record_id, card = f"t{n}", f"c{rng.randrange(KEYS)}"
        event = _padded(record_id, {"card_id": card, "at": time_ms, "amount": round(rng.random() * 100, 2)})
        yield encode(
            Message(derived_id("record", record_id), WRITER, time_ms, card, event, sequence=sequence, control=2)
        )


def _padded(record_id: str, value: dict[str, str | float]) -> RecordAccepted:
    def of(note: str) -> RecordAccepted:
        return RecordAccepted(source=b.SOURCE, record_id=record_id, late=False, value={**value, "note": note})

    return of("x" * (DATA_BYTES - len(of("").model_dump_json())))


def write(broker: KafkaBroker, tp: TopicPartition, written: Iterator[Encoded]) -> None:
    """All of it, acknowledged."""
    writer = broker.writer()
    for encoded in written:
        writer.send(tp, encoded.key, encoded.value, encoded.headers, _fail)
    writer.flush(60)
    writer.close()


def _fail(offset: int | None, error: SendError | None) -> None:
    if error is not None:
        raise error
