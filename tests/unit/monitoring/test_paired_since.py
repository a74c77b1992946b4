from __future__ import annotations

import random

from services.monitoring.paired_since import BLOCK, Block, Blocks, since, with_pair


def blocks_of(differences: list[float], step: int = 1) -> Blocks:
    blocks: Blocks = ()
    for at, difference in enumerate(differences):
        blocks = with_pair(blocks, at * step, difference)
    return blocks


def test_a_beginning_is_met_within_a_quarter_of_what_came_since() -> None:
    rng = random.Random(1)
    differences = [float(rng.choice((-1, 0, 1))) for _ in range(9_000)]
    blocks = blocks_of(differences)
    assert len(blocks) < 40
    for beginning in (0, 17, 4_000, 7_777, 8_500, 8_900, 8_990):
        pairs, difference = since(blocks, beginning, least=1)
        wanted = len(differences) - beginning
        assert wanted <= pairs <= max(1.25 * wanted, wanted + 2 * BLOCK)
        assert difference == sum(differences[-pairs:])


def test_few_pairs_since_the_change_are_filled_up_with_those_before() -> None:
    blocks = blocks_of([0.0] * 200 + [1.0] * 10)
    pairs, difference = since(blocks, 200, least=50)
    assert 50 <= pairs < 50 + BLOCK
    assert difference == 10.0
    assert since(blocks_of([1.0] * 7), 3, least=50) == (7, 7.0)
    assert since((), 3, least=50) == (0, 0.0)


def test_ordinals_with_gaps_are_those_of_the_pairs() -> None:
    blocks = blocks_of([1.0] * 100, step=10)
    assert since(blocks, 990, least=1)[0] <= BLOCK
    assert since(blocks, 500, least=1)[0] >= 50


def test_every_pair_is_in_one_block() -> None:
    blocks = blocks_of([0.5] * 5_001)
    assert sum(block.pairs for block in blocks) == 5_001
    assert [block.first for block in blocks] == sorted(block.first for block in blocks)
    assert all(block.pairs <= block.size * BLOCK for block in blocks)
    assert isinstance(blocks[0], Block)
