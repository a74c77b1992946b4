"""Which partition a key belongs to: murmur2, as Kafka's own producers do it."""

from __future__ import annotations

import struct
from functools import lru_cache

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Unsigned 32-bit MurmurHash2 of `data` with Kafka's seed.

    Source: A. Appleby, MurmurHash2; seed and reading order as in Kafka's `Utils.murmur2`.
    """
    length = len(data)
    whole = length & ~3
    state = _SEED ^ length
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = (word * _MULTIPLIER) & _MASK
        mixed ^= mixed >> 24
        state = ((state * _MULTIPLIER) & _MASK) ^ ((mixed * _MULTIPLIER) & _MASK)
    if length > whole:
        state = ((state ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER) & _MASK
    state = ((state ^ (state >> 13)) * _MULTIPLIER) & _MASK
    return state ^ (state >> 15)


@lru_cache(maxsize=65_536)
def _positive_hash(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Partition in [0, partitions) to which Kafka's default partitioner sends `key`."""
    return _positive_hash(key) % partitions
