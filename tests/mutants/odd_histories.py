"""Histories for what no other one shows: a writer that has never spoken, and labels dated when they fall due."""

from __future__ import annotations

from dataclasses import replace

from deploy.simulation.platform import SimulatedPlatform
from shared.contracts.definitions import Model
from shared.contracts.topics import RECORDS
from shared.runtime.ownership import owners
from tests.scenarios.simulated import FITS, lockstep, settle
from tests.scenarios.workload import (
    LATENESS_MS,
    MATURES_MS,
    PAYMENTS,
    T0_MS,
    TRUTHS,
    Block,
    Sent,
    blocks,
    definitions,
)

BRIEF = 8  # blocks of two minutes each


def with_a_silent_writer(workload: int) -> SimulatedPlatform:
    """Whoever brings labels to their predictions says nothing until half of the stream has gone by.

    The instance of monitoring that this falls to stands still before the model is defined, and nobody takes its place.
    """
    *declared, model = definitions()
    assert isinstance(model, Model)
    platform = SimulatedPlatform(1, declared, FITS, instances=2)
    world, [silent] = platform.world, owners(RECORDS.of(TRUTHS).name, 1, ("0", "1"))
    name = {"0": "monitoring", "1": "monitoring.1"}[silent]
    stopped = world.stop(name)
    platform.apply((model,), "q2")
    platform.tick(T0_MS - LATENESS_MS)
    settle(platform)
    played = blocks(workload, BRIEF)
    for number, block in enumerate(played):
        if number == BRIEF // 2:
            world.go_on(name, stopped)
        for sent in (*block.records, *block.truths):
            platform.publish(sent.source, sent.record, sent.partition)
        settle(platform)
        platform.tick(block.end_ms)
        settle(platform)
    for after_ms in (2 * MATURES_MS, 40 * MATURES_MS):
        platform.tick(played[-1].end_ms + after_ms)
        settle(platform)
    return platform


def with_labels_when_due(workload: int) -> SimulatedPlatform:
    """In lockstep; of some payments a label comes that is dated exactly when its outcome falls due, and decides it.

    The watermark stands at that very time when it comes: it is not late, and nothing dated so is decided yet.
    """
    return lockstep(workload, 1, count=BRIEF, made=_with_labels_when_due)


def _with_labels_when_due(seed: int, count: int) -> list[Block]:
    made = blocks(seed, count)
    found = list(made)
    for number, block in enumerate(made[:-3]):
        # Two minutes later the tick of the next block takes the watermark there.
        dated_ms = block.end_ms - LATENESS_MS + MATURES_MS
        labels = [_label(sent, dated_ms) for sent in block.records if _at_ms(sent) == dated_ms - MATURES_MS]
        late = found[number + 2]
        found[number + 2] = replace(late, truths=[*labels[:1], *late.truths])
    return found


def _at_ms(sent: Sent) -> object:
    return sent.record.get("at") if sent.source == PAYMENTS and isinstance(sent.record, dict) else None


def _label(sent: Sent, dated_ms: int) -> Sent:
    assert isinstance(sent.record, dict)
    payment = sent.record["payment"]
    return Sent(TRUTHS, 0, {"truth": f"{payment}due", "payment": payment, "known_at": dated_ms, "bad": True})
