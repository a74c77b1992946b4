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


def _crc(data: bytearray) -> bytes:
    return crc32c.crc32c(bytes(data)).to_bytes(4, "big")
