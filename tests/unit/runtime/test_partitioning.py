"""Keys go where Kafka's own producers send them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from shared.runtime.partitioning import murmur2, partition_of


@given(st.binary(max_size=200))
def test_the_hash_is_kafkas(key: bytes) -> None:
    assert murmur2(key) == kafka_murmur2(key)


@given(st.binary(max_size=40), st.integers(1, 1_000))
def test_the_partition_is_kafkas(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (kafka_murmur2(key) & 0x7FFFFFFF) % partitions


def test_known_values_of_the_java_client() -> None:
    # From the tests of Kafka's own Utils.murmur2.
    assert murmur2(b"21").to_bytes(4, "big") == (-973932308).to_bytes(4, "big", signed=True)
    assert murmur2(b"foobar").to_bytes(4, "big") == (-790332482).to_bytes(4, "big", signed=True)
