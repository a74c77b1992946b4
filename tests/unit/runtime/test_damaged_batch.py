"""A batch that cannot be read is told, and the reader stands before it; what came before is read."""

from __future__ import annotations

from typing import Any

import crc32c
import pytest
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from shared.runtime.kafka_clients.beginnings import Beginnings
from shared.runtime.kafka_clients.partition_records import PartitionRecords
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_wire import DAMAGE_TRIES

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
    assert unnoticed == {*range(12, 16)}  # the leader's epoch, which no checksum covers


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


def answers(data: bytes | bytearray, beginnings: Beginnings, at: int = 0, end: int = 100) -> tuple[list[int], int]:
    """Offsets read of one answer to a fetch, and the position behind it."""
    part: Any = PartitionRecords(at, WIRE, MemoryRecords(bytes(data)), beginnings=beginnings)
    part.end = end
    found = [record.offset for record in part.take(100)]
    assert not part or part.take(1) == []
    return found, part.next_fetch_offset


@pytest.mark.parametrize("place", range(64))
def test_no_flipped_bit_moves_records_to_other_offsets(place: int) -> None:
    """Even where the log goes on far behind them, and a batch may reach back before the position."""
    log = batch(8, *[b"%d" % n for n in range(20)]) + batch(28, b"x")
    for at, whole in ((8, [*range(8, 29)]), (17, [*range(17, 29)])):
        beginnings = Beginnings()
        while not (found := answers(log, beginnings, at))[0]:
            pass
        assert found == (whole, 29)
        damaged = flipped(log, place)
        for _ in range(DAMAGE_TRIES - 1):
            assert answers(damaged, Beginnings(), at) == ([], at)
        behind = flipped(log, (len(log) - len(batch(28, b"x"))) * 8 + place)
        assert answers(behind, beginnings, at) in (([], at), (whole[:-1], 28))


def test_a_gap_that_every_answer_shows_is_one() -> None:
    beginnings = Beginnings()
    log = batch(0, b"a") + batch(7, b"b")
    assert answers(log, beginnings) == ([0], 1)
    compacted = batch(7, b"b") + batch(9, b"c")
    found = [answers(compacted, beginnings, at=1) for _ in range(DAMAGE_TRIES - 1)]
    assert found == [*[([], 1)] * (DAMAGE_TRIES - 2), ([7, 9], 10)]  # the next gap of this log is believed at once


def test_what_breaks_before_the_position_does_not_move_it_back() -> None:
    damaged = batch(0, *[b"value %d" % n for n in range(10)])
    damaged[damaged.index(b"value 3") - 4] ^= 0x7F
    damaged[17:21] = _crc(damaged[21:])
    drained: list[Any] = []
    part: Any = PartitionRecords(7, WIRE, MemoryRecords(bytes(damaged)), on_drain=drained.append)
    assert taken(part) == []
    assert part.next_fetch_offset == 7
    assert drained[0].damage.first == 7


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
    builder: Any = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20)
    for ms, value in ((1_000, b"a"), (2_000, b"b")):
        builder.append(ms, b"k", value)
    builder.close()
    control, stamped = _with_attributes(batch(0, b"commit"), 0x20), _with_attributes(builder.buffer(), 0x08)
    stamped[:8] = (1).to_bytes(8, "big")
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
