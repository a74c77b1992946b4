"""A batch that cannot be read is told, and the reader stands before it; what came before is read."""

from __future__ import annotations

from typing import Any

import crc32c
import pytest
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from shared.runtime.kafka import PartitionRecords, WirePartition

WIRE = WirePartition("t", 0)


CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def batch(first: int, *values: bytes, headers: list[tuple[str, bytes]] | None = None, codec: int = 0) -> bytearray:
    builder: Any = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 20)
    for value in values:
        builder.append(1_000, b"k", value, headers or [])
    builder.close()
    data = bytearray(builder.buffer())
    data[:8] = first.to_bytes(8, "big")  # as a broker does
    return data


def records_of(data: bytes, drained: list[Any]) -> Any:
    return PartitionRecords(0, WIRE, MemoryRecords(data), on_drain=drained.append)


def all_of(part: Any) -> list[Any]:
    found: list[Any] = []
    for _ in range(10):
        if not part:
            return found
        found += part.take(2)
    raise AssertionError("it never ends")


def taken(part: Any) -> list[bytes]:
    return [record.value for record in all_of(part)]


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
    assert ended.next_fetch_offset == 3  # whoever reads decides when to pass over it


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


def test_no_flipped_bit_raises_or_reads_on_for_ever_or_goes_unnoticed() -> None:
    first, second = batch(0, b"a" * 40, b"b", headers=[("name", b"v")]), batch(2, b"c")
    whole, _ = outcome(first + second)
    unnoticed: set[int] = set()
    for place in range(8 * len(first)):
        found, told = outcome(flipped(first, place) + second)
        assert told or found == whole, f"bit {place} gave {found}"
        unnoticed |= set() if told else {place // 8}
    assert unnoticed == {*range(12, 17)}  # the leader's epoch and the format, which no checksum covers


def test_an_offset_that_the_log_does_not_have_yet_is_damage() -> None:
    alone = batch(0, b"a", b"b", b"c")
    assert [outcome(flipped(alone, place))[1] for place in range(64)] == [True] * 64
    drained: list[Any] = []
    part: Any = PartitionRecords(0, WIRE, MemoryRecords(bytes(flipped(alone, 0))), on_drain=drained.append)
    part.end = 3
    assert taken(part) == []
    assert (drained[0].damage.first, drained[0].damage.following) == (0, 1)  # its own end is not to be trusted
    assert outcome(alone) == ([(0, b"a"), (1, b"b"), (2, b"c")], False)


@pytest.mark.parametrize("codec", range(5), ids=CODECS)
def test_no_nonsense_under_a_right_checksum_raises_or_reads_on_for_ever(codec: int) -> None:
    """As a broken client writes it, to a broker that does not look."""
    first, second = batch(0, b"a" * 40, b"b", headers=[("name", b"v")], codec=codec), batch(2, b"c")
    said: set[bool] = set()
    for place in range(8 * 21, 8 * len(first)):
        damaged = flipped(first, place)
        found, told = outcome(damaged[:17] + _crc(damaged[21:]) + damaged[21:] + second)
        assert told or found[-1:] == [(2, b"c")], f"bit {place} gave {found}"
        said.add(told)
    assert said == {True, False}


def flipped(data: bytearray, place: int) -> bytearray:
    copy = bytearray(data)
    copy[place // 8] ^= 1 << place % 8
    return copy


def outcome(data: bytes | bytearray) -> tuple[list[tuple[int, bytes]], bool]:
    """Offsets and values read of an answer, and whether damage is told, by the fetcher if the first batch is cut."""
    drained: list[Any] = []
    records = MemoryRecords(bytes(data))
    part: Any = PartitionRecords(0, WIRE, records, on_drain=drained.append)
    part.end = 3
    if not records.has_next():
        return [], True
    return [(record.offset, record.value) for record in all_of(part)], drained[0].damage is not None


def test_what_is_whole_is_not_called_damaged() -> None:
    drained: list[Any] = []
    part = records_of(bytes(batch(0, b"a") + batch(1, b"b")), drained)
    assert taken(part) == [b"a", b"b"]
    assert drained[0].damage is None


def _crc(data: bytearray) -> bytes:
    return crc32c.crc32c(bytes(data)).to_bytes(4, "big")
