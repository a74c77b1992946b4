"""A batch that cannot be read is passed over and told; the others of the same answer are read."""

from __future__ import annotations

from typing import Any

import crc32c
import pytest
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from shared.runtime.kafka import PartitionRecords, WirePartition

WIRE = WirePartition("t", 0)


def batch(first: int, *values: bytes, headers: list[tuple[str, bytes]] | None = None) -> bytearray:
    builder: Any = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20, offset=first)
    for value in values:
        builder.append(1_000, b"k", value, headers or [])
    builder.close()
    return bytearray(builder.buffer())


def records_of(data: bytes, drained: list[Any]) -> Any:
    return PartitionRecords(0, WIRE, MemoryRecords(data), on_drain=drained.append)


def taken(part: Any) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(10):
        if not part:
            return found
        found += [record.value for record in part.take(2)]
    raise AssertionError("it never ends")


@pytest.mark.parametrize("place", [-1, 30, 70], ids=["a value", "the header", "a record"])
def test_a_flipped_bit_costs_its_batch_and_is_told(place: int) -> None:
    whole, damaged = batch(0, b"a", b"b", b"c"), batch(3, b"d", b"e")
    damaged[place] ^= 0x40
    drained: list[Any] = []
    part = records_of(bytes(whole + damaged), drained)
    assert taken(part) == [b"a", b"b", b"c"]
    [ended] = drained
    assert (ended.damage.first, ended.damage.following) == (3, 5)
    assert "crc" in ended.damage.reason
    assert ended.next_fetch_offset == 5


def test_a_header_name_that_is_no_text_is_damage_too() -> None:
    damaged = batch(0, b"a", headers=[("name", b"v")])
    at = damaged.index(b"name")
    damaged[at] = 0xFF
    repaired = bytes(damaged[:17]) + _crc(damaged[21:]) + bytes(damaged[21:])
    drained: list[Any] = []
    part = records_of(repaired + bytes(batch(1, b"b")), drained)
    assert taken(part) == []
    assert (drained[0].damage.first, drained[0].damage.following) == (0, 1)
    assert "utf-8" in drained[0].damage.reason


def test_what_is_whole_is_not_called_damaged() -> None:
    drained: list[Any] = []
    part = records_of(bytes(batch(0, b"a") + batch(1, b"b")), drained)
    assert taken(part) == [b"a", b"b"]
    assert drained[0].damage is None


@pytest.mark.parametrize("magic", [0, 1])
def test_messages_in_a_format_of_old_are_read(magic: int) -> None:
    builder: Any = MemoryRecordsBuilder(magic=magic, compression_type=0, batch_size=1 << 20)
    for value in (b"a", b"b"):
        builder.append(1_000, b"k", value)
    builder.close()
    whole = bytes(builder.buffer())
    drained: list[Any] = []
    found = records_of(whole + bytes(batch(2, b"c")), drained).take(10)
    assert [(one.offset, one.timestamp_ms, one.value, one.headers) for one in found] == [
        (0, 1_000 if magic else -1, b"a", ()),
        (1, 1_000 if magic else -1, b"b", ()),
        (2, 1_000, b"c", ()),
    ]
    assert drained[0].damage is None
    flipped = bytearray(whole)
    flipped[-1] ^= 0x40
    part = records_of(bytes(flipped), drained)
    assert taken(part) == [b"a"]
    assert (drained[1].damage.first, drained[1].damage.following) == (1, 2)


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_what_is_compressed_is_read_from_the_middle(codec: int) -> None:
    builder: Any = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 20)
    for n in range(100):
        builder.append(1_000 + n, b"k", b"value %d" % n, [("n", b"%d" % n)])
    builder.close()
    part = PartitionRecords(97, WIRE, MemoryRecords(bytes(builder.buffer())))
    found = part.take(10)
    assert [(one.offset, one.timestamp_ms, one.headers) for one in found] == [
        (n, 1_000 + n, (("n", b"%d" % n),)) for n in (97, 98, 99)
    ]
    assert part.next_fetch_offset == 100


def test_marks_of_transactions_are_passed_over_and_the_brokers_time_counts() -> None:
    builder: Any = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20, offset=1)
    for ms, value in ((1_000, b"a"), (2_000, b"b")):
        builder.append(ms, b"k", value)
    builder.close()
    control, stamped = _with_attributes(batch(0, b"commit"), 0x20), _with_attributes(builder.buffer(), 0x08)
    part = PartitionRecords(0, WIRE, MemoryRecords(bytes(control + stamped)))
    assert [(one.offset, one.timestamp_ms, one.value) for one in part.take(10)] == [(1, 2_000, b"a"), (2, 2_000, b"b")]


def test_topics_lose_the_prefix_of_the_cluster() -> None:
    prefixed = WirePartition("team.t", 0)
    [record] = PartitionRecords(0, prefixed, MemoryRecords(bytes(batch(0, b"a"))), prefix="team.").take(1)
    assert record.topic == "t"


def _with_attributes(made: bytearray, attributes: int) -> bytearray:
    made[22] |= attributes
    made[17:21] = _crc(made[21:])
    return made


def _crc(data: bytearray) -> bytes:
    return crc32c.crc32c(bytes(data)).to_bytes(4, "big")
