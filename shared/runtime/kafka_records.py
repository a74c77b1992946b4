"""Records of Kafka's message format 2, taken apart and put together: in kafka-python most of what a record costs.

A record is its length, attributes, timestamp and offset as differences from its batch's, key, value and headers. All
numbers are zigzag varints; nearly all of ours fit into one byte, which is read in line.
Source: https://kafka.apache.org/documentation/#record (KIP-98, headers KIP-82)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from shared.runtime.log import Headers, LogRecord, TopicPartition


class Frame(NamedTuple):
    """What the records of a batch have in common. `append_ms`: the broker's time, where the topic takes that."""

    tp: TopicPartition
    base_offset: int
    base_ms: int
    append_ms: int | None
    records: int


def records_in(data: bytes, frame: Frame) -> Iterator[LogRecord]:
    """The records of a batch; `data`: what follows its header, decompressed. A header without a value has b"".

    Raises ValueError or IndexError where the bytes are no such records; those before them are given out.
    """
    (topic, partition), base_offset, base_ms, append_ms, records = frame
    at, whole, headers = 0, len(data), _Headers(data)
    for _ in range(records):
        length, at = _varint(data, at)
        end = at + length
        ms, at = _varint(data, at + 1)  # behind the attributes, of which there are none
        offset, at = _varint(data, at)
        key, at = _bytes(data, at)
        value, at = _bytes(data, at)
        pairs, at = headers.at(at)
        if at != end or end > whole:
            raise ValueError(f"a record of {length} bytes ends after {at - end + length}")
        time_ms = base_ms + ms if append_ms is None else append_ms
        yield LogRecord(topic, partition, base_offset + offset, time_ms, key, value, pairs)
    if at != whole:
        raise ValueError(f"{whole - at} bytes follow the last record of a batch")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    zigzag, shift = byte & 0x7F, 7
    while byte & 0x80:
        byte = data[at]
        at += 1
        zigzag |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    return (zigzag >> 1) ^ -(zigzag & 1), at


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = _varint(data, at)
    return (None, at) if size < 0 else (data[at : at + size], at + size)


Pair = tuple[str, bytes]


class _Headers:
    """Of the records of a batch. Those that several records begin with alike are taken apart once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._alike: list[Pair] = []
        self._alike_bytes = b""
        self._last: Sequence[Pair] = ()  # of the newest record that began otherwise

    def at(self, at: int) -> tuple[tuple[Pair, ...], int]:
        """The headers whose count stands here, and where they end."""
        count, at = _varint(self._data, at)
        known = len(self._alike)
        if 0 < known <= count and self._data.startswith(self._alike_bytes, at):
            pairs = self._alike.copy()
            ends = self._read(at + len(self._alike_bytes), count - known, pairs)
            return tuple(pairs), ends[-1]
        if count < 0:
            raise ValueError(f"a record of {count} headers")
        pairs: list[Pair] = []
        ends = self._read(at, count, pairs)
        same = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(pairs, self._last, strict=False)))
        if same >= known:  # not because of a mark among events
            self._alike, self._alike_bytes = pairs[:same], self._data[at : ends[same]]
        self._last = pairs
        return tuple(pairs), ends[-1]

    def _read(self, at: int, count: int, pairs: list[Pair]) -> list[int]:
        data, ends = self._data, [at]
        for _ in range(count):
            size = data[at]
            if size & 0x81:  # negative, or more than one byte
                size, at = _varint(data, at)
                if size < 0:
                    raise ValueError(f"the name of a header has {size} bytes")
            else:
                size, at = size >> 1, at + 1
            name, at = _name(data[at : at + size]), at + size
            size = data[at]
            if size & 0x81:
                size, at = _varint(data, at)
                size = max(size, 0)
            else:
                size, at = size >> 1, at + 1
            pairs.append((name, data[at : at + size]))
            at += size
            ends.append(at)
        return ends


@lru_cache(maxsize=1024)
def _name(encoded: bytes) -> str:
    return encoded.decode()


def content_of(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """The part of a record that does not depend on its batch."""
    parts: list[bytes] = []
    for data in (key, value):
        parts += (_NULL,) if data is None else (_number(len(data)), data)
    parts.append(_number(len(headers)))
    for name, data in headers:
        parts += _named(name), _number(len(data)), data
    return b"".join(parts)


def record_of(offset: int, ms: int, content: bytes) -> bytes:
    """A record's bytes; `offset` and `ms` are the differences from its batch's first."""
    head = b"\0" + _number(ms) + _number(offset)
    return _number(len(head) + len(content)) + head + content


@lru_cache(maxsize=1024)
def _named(name: str) -> bytes:
    encoded = name.encode()
    return _number(len(encoded)) + encoded


@lru_cache(maxsize=4096)
def _number(value: int) -> bytes:
    zigzag = (value << 1) ^ (value >> 63)
    encoded = bytearray()
    while zigzag > 0x7F:
        encoded.append(0x80 | (zigzag & 0x7F))
        zigzag >>= 7
    encoded.append(zigzag)
    return bytes(encoded)


_NULL = _number(-1)
