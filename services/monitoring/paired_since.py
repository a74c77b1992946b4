"""The champion's loss beside its predecessor's, since any of the newest outcomes: what an alarm on watch goes by.

A version is promoted because it was better. Should it turn bad, the mean since its promotion hides that for as long as
it was good; what counts is what the two lost since the change. So differences are kept as sums of blocks: the newest
are of BLOCK outcomes, and of blocks of one size at most PER_SIZE are kept, beyond which the two oldest become one of
twice the size (an exponential histogram: Datar, Gionis, Indyk, Motwani, "Maintaining stream statistics over sliding
windows", 2002). So a beginning is met within a quarter of the outcomes since, in a few dozen numbers.
"""

from __future__ import annotations

from typing import NamedTuple

BLOCK = 16
PER_SIZE = 4


class Block(NamedTuple):
    """Pairs from ordinal `first` on: how many, in how many times BLOCK of room, and the sum of their differences."""

    first: int
    size: int
    pairs: int
    difference: float


Blocks = tuple[Block, ...]


def with_pair(blocks: Blocks, ordinal: int, difference: float) -> Blocks:
    """With one more pair, the newest of all; `difference`: loss of the champion - loss of its predecessor."""
    newest = blocks[-1] if blocks else None
    if newest is not None and newest.size == 1 and newest.pairs < BLOCK:
        grown = newest._replace(pairs=newest.pairs + 1, difference=newest.difference + difference)
        return (*blocks[:-1], grown)
    return _merged((*blocks, Block(ordinal, 1, 1, difference)))


def since(blocks: Blocks, ordinal: int, least: int) -> tuple[int, float]:
    """Pairs and sum of differences since the block that holds `ordinal`; further back where fewer than `least` pairs
    came since."""
    pairs, difference = 0, 0.0
    for block in reversed(blocks):
        pairs, difference = pairs + block.pairs, difference + block.difference
        if block.first <= ordinal and pairs >= least:
            break
    return pairs, difference


def _merged(blocks: Blocks) -> Blocks:
    found, end = list(blocks), len(blocks)
    while end:
        size = found[end - 1].size
        start = end
        while start and found[start - 1].size == size:
            start -= 1
        if end - start <= PER_SIZE:
            break
        one, other = found[start], found[start + 1]
        both = Block(one.first, 2 * size, one.pairs + other.pairs, one.difference + other.difference)
        found[start : start + 2] = [both]
        end = start + 1
    return tuple(found)
