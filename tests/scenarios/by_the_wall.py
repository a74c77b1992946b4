"""The workloads by the wall clock: records are dated today, time goes by between them, and the registry ticks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter

from deploy.simulation.virtual_time import EPOCH_MS
from shared.contracts.definitions import Clock, FeatureView, Model, Source
from tests.scenarios.acts import STORMY, UNTIL_ALL_IS_DECIDED, Act, Define, Pass, Publish, settling
from tests.scenarios.workload import T0_MS, Block, Record, Sent

BEGINS_MS = EPOCH_MS + 60_000  # the platform is founded by then
TIMES = ("at", "known_at")


def defined(one: Source | FeatureView | Model) -> Source | FeatureView | Model:
    """A definition, with the default clock where it is a source's."""
    if not isinstance(one, Source):
        return one
    declared = one.model_dump(mode="json")
    return Source.written({**declared, "time": {**declared["time"], "clock": Clock.WALL}})


def dated(blocks: Sequence[Block]) -> list[Block]:
    """The same blocks, today."""
    return [
        Block(_today(block.end_ms), [_dated(sent) for sent in block.records], [_dated(sent) for sent in block.truths])
        for block in blocks
    ]


def _today(time_ms: int) -> int:
    return time_ms - T0_MS + BEGINS_MS


def _dated(sent: Sent) -> Sent:
    if isinstance(sent.record, bytes):
        return sent
    today: Record = {name: _today(ms) for name in TIMES if isinstance(ms := sent.record.get(name), int) and ms > 1}
    return replace(sent, record={**sent.record, **today})


def of_blocks(
    blocks: Sequence[Block], draw: random.Random, gap: int, later: Sequence[Source | FeatureView | Model] = ()
) -> Iterator[Act]:
    """As those of `acts`, but time goes by evenly from record to record, in place of ticks."""
    began_ms = BEGINS_MS
    for number, block in enumerate(blocks):
        if later and number == len(blocks) // 2:
            yield Act(draw.randrange(gap), Define(tuple(later)))
        for at_ms, sent in sorted(_timed(block, began_ms), key=itemgetter(0)):
            yield Act(draw.randrange(gap), Pass(at_ms))
            yield Act(0, Publish(sent))
        yield Act(draw.randrange(gap), Pass(block.end_ms))
        began_ms = block.end_ms


def _timed(block: Block, began_ms: int) -> Iterator[tuple[int, Sent]]:
    """Records come evenly from the beginning of a block to its end, and truths when they are known."""
    for place, sent in enumerate(block.records, 1):
        yield began_ms + (block.end_ms - began_ms) * place // len(block.records), sent
    for sent in block.truths:
        assert isinstance(sent.record, dict)
        known_ms = sent.record["known_at"]
        assert isinstance(known_ms, int)
        yield min(max(known_ms, began_ms), block.end_ms), sent


def at_the_end(end_ms: int, draw: random.Random, steps: range = STORMY) -> Iterator[Act]:
    """Until everything has matured, expired, and every deadline has passed."""
    for after_ms in UNTIL_ALL_IS_DECIDED:
        yield Act(0, Pass(end_ms + after_ms, after_ms))
        yield settling(draw, steps)
