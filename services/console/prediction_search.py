"""Finds one prediction in `predictions.<model>`, on demand: the console keeps counts of them, not the events."""

from __future__ import annotations

import json

from shared.contracts.envelope import Message, decode
from shared.contracts.errors import HeadraceError, UnreadableEvent
from shared.contracts.flow import PredictionMade
from shared.contracts.topics import PREDICTIONS
from shared.runtime.log import Broker, LogRecord, Reader, TopicPartition
from shared.runtime.to_the_end import to_the_end

BATCH = 5_000


class SearchTooLong(HeadraceError):
    """The topic was not read to its end in time."""

    def __init__(self, topic: str, read: int, within_s: float) -> None:
        super().__init__(
            f"{read} entries of {topic} were read in {within_s:g} s and none was it; "
            "ask for a version instead: headrace why MODEL --version N"
        )


def find_prediction(broker: Broker, model: str, wanted: str, within_s: float = 20.0) -> tuple[Message, int, int] | None:
    """The first answered prediction of a record, request or event id, else the first one; its partition and offset.

    Reads the topic from its beginning to the end that it had, with a reader of its own. Raises SearchTooLong, and
    what the reader raises.
    """
    topic = PREDICTIONS.of(model).name
    admin = broker.admin()
    partitions = admin.partitions(topic) or 0
    admin.close()
    reader = broker.reader()
    try:
        return _search(reader, [TopicPartition(topic, p) for p in range(partitions)], wanted, within_s)
    finally:
        reader.close()


def _search(reader: Reader, tps: list[TopicPartition], wanted: str, within_s: float) -> tuple[Message, int, int] | None:
    if not tps:
        return None
    reader.assign({tp: reader.beginning(tp) for tp in tps})
    read = 0
    unanswered: tuple[Message, int, int] | None = None
    try:
        for _, records in to_the_end(reader, tps, silent_s=within_s, within_s=within_s, most=BATCH):
            read += len(records)
            for record in records:
                message = _matching(record, wanted)
                if message is None:
                    continue
                found = (message, record.partition, record.offset)
                if isinstance(message.event, PredictionMade) and message.event.answered_by is not None:
                    return found
                unanswered = unanswered or found
    except TimeoutError as late:
        raise SearchTooLong(tps[0].topic, read, within_s) from late
    return unanswered


def _matching(record: LogRecord, wanted: str) -> Message | None:
    # Most entries are told apart by their bytes, without being decoded.
    written = json.dumps(wanted, ensure_ascii=False)[1:-1].encode()
    if written not in (record.value or b"") and ("ce_id", written) not in record.headers:
        return None
    try:
        message = decode(record.key, record.value, record.headers)
    except UnreadableEvent:
        return None
    # A replayed dead letter is the same prediction once more.
    if not isinstance(message, Message) or not isinstance(message.event, PredictionMade) or message.replay_for:
        return None
    event = message.event
    return message if wanted in (event.record_id, event.request_id, message.id) else None
