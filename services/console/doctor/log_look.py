"""Looks at the log itself: control.v1 from its beginning, the topics that it calls for, the dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from services.console.dead_letter_list import DeadLetters, Letter
from services.console.doctor.facts import LogLook
from services.console.doctor.finding import Unseen
from shared.contracts.topics import CONTROL, dead_letters
from shared.contracts.topology import Definitions
from shared.runtime.history import ControlHistory, ControlLogGap
from shared.runtime.log import AccessDenied, Admin, Broker, LogError, OffsetOutOfRange, Reader, TopicPartition
from shared.runtime.to_the_end import to_the_end

READ_WITHIN_S = 30.0
MADE_WITHIN_S = 3.0  # after definitions are applied, their topics come one by one
_CONTROL_TP = TopicPartition(CONTROL.name, 0)


def look_at_log(broker: Broker, sleep: Callable[[float], None] = time.sleep) -> LogLook:
    """Everything that the broker shows. Raises BrokerAway, AccessDenied and TlsFileUnusable."""
    admin, reader = broker.admin(), broker.reader()
    try:
        there = {topic: admin.partitions(topic) for topic in admin.topics()}
        history, broken, newest_ms = _control(reader, there)
        definitions = history.newest.definitions
        wanted = wanted_topics(definitions)
        until_s = time.monotonic() + MADE_WITHIN_S
        while missing := [topic for topic in wanted if there.get(topic) is None]:
            there |= {topic: admin.partitions(topic) for topic in missing}
            if time.monotonic() > until_s or all(there[topic] is not None for topic in missing):
                break
            sleep(0.2)
        ours = [topic for topic in {CONTROL.name, *wanted} if there.get(topic) is not None]
        return LogLook(
            history, broken, newest_ms, {**dict.fromkeys(wanted), **there}, _settings(admin, ours),
            _beginnings(reader, definitions, there), _letters(reader, there),
        )  # fmt: skip
    finally:
        reader.close()
        admin.close()


def wanted_topics(definitions: Definitions) -> dict[str, int]:
    """The partitions of every topic that the definitions call for."""
    services = {task.service for task in definitions.tasks} if definitions.sources else set[str]()
    return {**definitions.partitions, **{dead_letters(service): 1 for service in services}}


def _control(reader: Reader, there: Mapping[str, int | None]) -> tuple[ControlHistory, str | None, int | None]:
    """As far as it can be read, why no further, and when the newest entry was written."""
    history, newest_ms = ControlHistory(), None
    if there.get(CONTROL.name) is None:
        return history, None, None
    try:
        reader.assign({_CONTROL_TP: 0})
        for _, records in to_the_end(reader, [_CONTROL_TP], silent_s=READ_WITHIN_S):
            for record in records:
                history.append(record)
                newest_ms = record.timestamp_ms
    except (ControlLogGap, OffsetOutOfRange, TimeoutError) as error:
        return history, str(error), newest_ms
    return history, None, newest_ms


def _settings(admin: Admin, topics: Iterable[str]) -> Mapping[str, Mapping[str, str]] | Unseen:
    try:
        return {topic: admin.settings(topic) for topic in topics}
    except AccessDenied as denied:
        return Unseen(f"the settings of topics may not be read: {denied}")


def _beginnings(
    reader: Reader, definitions: Definitions, there: Mapping[str, int | None]
) -> Mapping[TopicPartition, int]:
    inputs = {TopicPartition(task.topic, task.partition) for task in definitions.tasks}
    return {tp: reader.beginning(tp) for tp in sorted(inputs) if tp.partition < (there.get(tp.topic) or 0)}


def _letters(reader: Reader, there: Mapping[str, int | None]) -> tuple[Letter, ...] | Unseen:
    letters = DeadLetters()
    tps = [TopicPartition(topic, p) for topic, n in there.items() if topic.endswith(".dead.v1") for p in range(n or 0)]
    try:
        reader.assign({tp: reader.beginning(tp) for tp in tps})
        for _, records in to_the_end(reader, tps, silent_s=READ_WITHIN_S):
            for record in records:
                letters.take(record)
    except (LogError, TimeoutError) as error:
        return Unseen(f"the dead letters cannot be read: {error}")
    return tuple(letters.newest())
