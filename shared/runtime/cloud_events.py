"""Records that users publish: plain JSON, or CloudEvents 1.0 by the Kafka protocol binding, binary or structured.

Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md and
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from pydantic import JsonValue

from shared.contracts.envelope import epoch_ms
from shared.contracts.errors import HeadraceError
from shared.contracts.flow import RejectReason
from shared.contracts.trace_context import TRACEPARENT, read_traceparent

_REQUIRED = ("specversion", "id", "source", "type")
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"(?:[a-z0-9!#$&^_.+-]+/)(?:[a-z0-9!#$&^_.-]+\+)?json")


class MalformedRecord(HeadraceError):
    """A record whose bytes or CloudEvents attributes do not fit, with the reason that a rejection names."""

    def __init__(self, detail: str, reason: RejectReason = RejectReason.UNDECODABLE) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A record's data, as a value and as JSON text, and its CloudEvents attributes (none for plain JSON)."""

    data: JsonValue
    text: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


def read_record(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> UserRecord:
    """What a user published. Raises MalformedRecord.

    `content-type: application/cloudevents+json` makes a structured event, any `ce_` header a binary one; all else is
    plain JSON. A CloudEvent's Kafka key is its attribute `partitionkey`.
    """
    if value is None:
        raise MalformedRecord("the record has no value (a tombstone): publish the record as JSON")
    named = {name.lower(): content or b"" for name, content in headers}
    content_type = _text("content-type", named.get("content-type", b""))
    if _media_type(content_type).startswith("application/cloudevents"):
        return _structured(key, value, content_type)
    if any(name.startswith("ce_") for name in named):
        return _binary(key, value, named, content_type)
    return UserRecord(_json(value), value.decode())


def trace_of(headers: Sequence[tuple[str, bytes | None]], attributes: Mapping[str, str] | None = None) -> str | None:
    """The `traceparent` that a record came with, as a header or an attribute of its CloudEvent; None: no valid one.

    The header goes first: it is of the last hop, the attribute of where the event began.
    Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
    """
    if not headers and not attributes:
        return None
    for name in (TRACEPARENT, f"ce_{TRACEPARENT}"):
        given = [(content or b"").decode(errors="replace") for header, content in headers if header.lower() == name]
        found = read_traceparent(given)
        if found is not None:
            return found
    attribute = (attributes or {}).get(TRACEPARENT)
    return None if attribute is None else read_traceparent([attribute])


def _binary(key: bytes | None, value: bytes, headers: Mapping[str, bytes], content_type: str) -> UserRecord:
    attributes = {name[3:]: _text(name, content) for name, content in headers.items() if name.startswith("ce_")}
    if content_type:
        attributes["datacontenttype"] = content_type
    _check(attributes)
    _check_json_type(_media_type(content_type))
    if not value:
        raise MalformedRecord("the CloudEvent has no data: publish the record as its data")
    return UserRecord(_json(value), value.decode(), _keyed(attributes, key))


def _structured(key: bytes | None, value: bytes, content_type: str) -> UserRecord:
    if _media_type(content_type) != "application/cloudevents+json":
        raise MalformedRecord(f"content-type {content_type} is not understood: publish application/cloudevents+json")
    event = _json(value)
    if not isinstance(event, dict):
        raise MalformedRecord("a structured CloudEvent is a JSON object of its attributes and its data")
    members = {name: member for name, member in event.items() if name not in ("data", "data_base64")}
    attributes = {name: _attribute(name, member) for name, member in members.items() if member is not None}
    _check(attributes)
    _check_json_type(_media_type(attributes.get("datacontenttype", "")))
    if event.get("data") is not None and event.get("data_base64") is not None:
        raise MalformedRecord("a CloudEvent has either data or data_base64, not both")
    if event.get("data_base64") is not None:
        data = _base64(event["data_base64"])
        return UserRecord(_json(data), data.decode(), _keyed(attributes, key))
    if event.get("data") is None:
        raise MalformedRecord("the CloudEvent has no data: publish the record as its data")
    return UserRecord(event["data"], orjson.dumps(event["data"]).decode(), _keyed(attributes, key))


def _check(attributes: Mapping[str, str]) -> None:
    for name in _REQUIRED:
        if not attributes.get(name):
            raise MalformedRecord(f"the CloudEvents attribute {name} is missing or empty")
    if attributes["specversion"] != "1.0":
        raise MalformedRecord(f"CloudEvents {attributes['specversion']} is not understood: publish specversion 1.0")
    for name in attributes:
        if not _ATTRIBUTE.fullmatch(name):
            raise MalformedRecord(f"the CloudEvents attribute {name!r} must be of a-z and 0-9")
    if "time" in attributes:
        try:
            epoch_ms(attributes["time"])
        except ValueError as error:
            raise MalformedRecord(f"the CloudEvents attribute time is no RFC 3339 time: {error}") from error


def _check_json_type(content_type: str) -> None:
    if content_type and not _JSON_TYPE.fullmatch(content_type):
        raise MalformedRecord(f"data of type {content_type} is not understood: publish application/json")


def _attribute(name: str, member: JsonValue) -> str:
    match member:
        case bool():
            return "true" if member else "false"
        case str() | int():
            return str(member)
        case _:
            raise MalformedRecord(f"the CloudEvents attribute {name} is no text, integer or boolean")


def _keyed(attributes: Mapping[str, str], key: bytes | None) -> Mapping[str, str]:
    if key is None or "partitionkey" in attributes:
        return attributes
    # A key of other bytes is legal, and is no text.
    text = key.decode(errors="replace")
    return attributes if "\ufffd" in text else {**attributes, "partitionkey": text}


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _json(data: bytes) -> JsonValue:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedRecord(f"no JSON: {error}") from error


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MalformedRecord(f"the header {name} is no UTF-8 text") from error


def _base64(encoded: JsonValue) -> bytes:
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else b"", validate=True)
    except binascii.Error as error:
        raise MalformedRecord(f"data_base64 is no base64: {error}") from error
