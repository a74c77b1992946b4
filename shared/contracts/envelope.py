"""How an event stands in a log: CloudEvents 1.0, Kafka protocol binding, binary mode, with hand-built bytes.

Extension attributes: `sequence` (the producing task's number for this target partition, from 1), `control` (the
position of control.v1 under which it was derived), `replayfor` (of a replayed dead letter: the task for which alone it
counts), and for marks `watermark`. A mark has no data.
Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar, NamedTuple

from shared.contracts.contract import Contract
from shared.contracts.errors import UnreadableEvent

Headers = tuple[tuple[str, bytes], ...]
MARK_TYPE = "headrace.mark.v1"
NEVER_MS = -(1 << 62)  # the watermark before anything was heard
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_EVENT_TYPES: dict[str, type[Event]] = {}


class Event(Contract):
    """A past fact, or a command. Its type is `headrace.<name>.v<version>`."""

    ce_type: ClassVar[str]
    schema_version: ClassVar[int] = 1

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("_")
        cls.ce_type = f"headrace.{snake}.v{cls.schema_version}"
        _EVENT_TYPES[cls.ce_type] = cls


def event_types() -> Mapping[str, type[Event]]:
    """Every event and command by its type, of the contract modules that are imported."""
    return _EVENT_TYPES


class Message(NamedTuple):
    """An event in a log. `source` is the producing task, or the identity of a writer from outside (`sequence` None).

    `replay_for`: it was a dead letter of this task, and enters its input again; all other readers pass over it.
    """

    id: str
    source: str
    time_ms: int
    key: str
    event: Event
    sequence: int | None = None
    control: int = 0
    trace: str | None = None
    replay_for: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A task's promise between records: behind its `sequence`, nothing earlier than `watermark_ms` comes from it."""

    source: str
    sequence: int
    watermark_ms: int
    control: int


class Encoded(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers


def encode(message: Message) -> Encoded:
    """The bytes of an event: JSON as data, attributes as `ce_` headers."""
    # Those that most events of a log share come first: readers of many records take them apart once.
    headers = [
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/json"),
        ("ce_type", message.event.ce_type.encode()),
        ("ce_source", message.source.encode()),
        ("ce_control", b"%d" % message.control),
        ("ce_id", message.id.encode()),
        ("ce_time", rfc3339(message.time_ms).encode()),
    ]
    if message.sequence is not None:
        headers.append(("ce_sequence", b"%d" % message.sequence))
    if message.trace is not None:
        headers.append(("traceparent", message.trace.encode()))
    if message.replay_for is not None:
        headers.append(("ce_replayfor", message.replay_for.encode()))
    return Encoded(message.key.encode(), message.event.as_json(), tuple(headers))


def encode_mark(mark: Mark) -> Encoded:
    """The bytes of a mark: attributes only."""
    return Encoded(
        None,
        b"",
        (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{mark.source}:{mark.sequence}:{mark.watermark_ms}:{mark.control}".encode()),
            ("ce_type", MARK_TYPE.encode()),
            ("ce_source", mark.source.encode()),
            ("ce_sequence", b"%d" % mark.sequence),
            ("ce_watermark", b"%d" % mark.watermark_ms),
            ("ce_control", b"%d" % mark.control),
        ),
    )


def decode(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Message | Mark:
    """The event or mark behind the bytes. Raises UnreadableEvent: what is missing or does not fit."""
    attributes = dict(headers)
    try:
        ce_type, source = attributes["ce_type"].decode(), attributes["ce_source"].decode()
        control = int(attributes["ce_control"])
        sequence = attributes.get("ce_sequence")
        if ce_type == MARK_TYPE:
            return Mark(source, int(attributes["ce_sequence"]), int(attributes["ce_watermark"]), control)
        trace, replay_for = attributes.get("traceparent"), attributes.get("ce_replayfor")
        return Message(
            id=attributes["ce_id"].decode(),
            source=source,
            time_ms=epoch_ms(attributes["ce_time"].decode()),
            key=(key or b"").decode(),
            event=_EVENT_TYPES[ce_type].of_json(value or b""),
            sequence=None if sequence is None else int(sequence),
            control=control,
            trace=None if trace is None else trace.decode(),
            replay_for=None if replay_for is None else replay_for.decode(),
        )
    except KeyError as missing:
        raise UnreadableEvent(f"attribute or event type {missing} is not known") from missing
    except ValueError as wrong:
        raise UnreadableEvent(str(wrong)) from wrong


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote an entry, and its number: what counts even if the event itself cannot be read."""

    source: str
    sequence: int
    control: int


def origin(headers: Sequence[tuple[str, bytes]]) -> Origin | None:
    """The origin of an entry that a task wrote; None for one from outside, or for foreign bytes."""
    attributes = dict(headers)
    try:
        return Origin(
            attributes["ce_source"].decode(), int(attributes["ce_sequence"]), int(attributes.get("ce_control", b"0"))
        )
    except (KeyError, ValueError):
        return None


def rfc3339(time_ms: int) -> str:
    """`2026-11-21T10:00:00.000Z`. Outside years 1 to 9999, which RFC 3339 cannot write, the nearest it can."""
    clamped = min(max(time_ms, -62_135_596_800_000), 253_402_300_799_999)
    seconds, ms = divmod(clamped, 1000)
    return f"{_to_the_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=4096)
def _to_the_second(seconds: int) -> str:
    # Not strftime: its %Y has no leading zeros before the year 1000.
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def epoch_ms(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time; a time without an offset is refused."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no UTC offset: write it as 2026-11-21T10:00:00Z")
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
