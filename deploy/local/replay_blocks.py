"""How a replay in lockstep is cut: what is published together, and up to which time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """Rows [records.start, records.stop) as records, then as labels those of `labels`, then a tick at `end_ms`."""

    records: range
    labels: range
    end_ms: int


Names = Sequence[str | None]


def blocks(
    times_ms: Sequence[int], due_ms: Sequence[int] | None, size: int, entities: Sequence[Names] = ()
) -> Iterator[Block]:
    """All rows in order, `size` records at a time, then blocks of the labels that are still held back.

    A block ends before the label of its first record falls due, so that no record waits for a label that it could have
    known, but holds one record at least. Its labels are those due by the time of its last record. Both sequences
    never fall; `due_ms` is None where there are no labels.

    `entities`: of each view's entity that is not the key, who it is in each row (None: nobody). A block holds each of
    them once: in which order two of its records come into the log of such an entity is left to chance.
    """
    first = labelled = 0
    while first < len(times_ms):
        before_ms = None if due_ms is None else due_ms[first]
        stop = _stop(times_ms, first, min(first + size, len(times_ms)), before_ms, entities)
        end_ms = times_ms[stop - 1]
        due = _due_by(due_ms, labelled, min(stop, len(times_ms)), end_ms)
        yield Block(range(first, stop), range(labelled, due), end_ms)
        first, labelled = stop, due
    if due_ms is not None:
        yield from _held_back(due_ms, labelled, size)


def _stop(times_ms: Sequence[int], first: int, limit: int, before_ms: int | None, entities: Sequence[Names]) -> int:
    """The row after a block's last record."""
    seen = [{names[first]} for names in entities]
    for row in range(first + 1, limit):
        if before_ms is not None and times_ms[row] >= before_ms:
            return row
        if any(names[row] in held for names, held in zip(entities, seen, strict=True) if names[row] is not None):
            return row
        for names, held in zip(entities, seen, strict=True):
            held.add(names[row])
    return limit


def _due_by(due_ms: Sequence[int] | None, first: int, stop: int, end_ms: int) -> int:
    """The row after the last label of a published record that is due by `end_ms`."""
    if due_ms is None:
        return first
    while first < stop and due_ms[first] <= end_ms:
        first += 1
    return first


def _held_back(due_ms: Sequence[int], labelled: int, size: int) -> Iterator[Block]:
    nothing = range(len(due_ms), len(due_ms))
    while labelled < len(due_ms):
        stop = min(labelled + size, len(due_ms))
        # Labels that fall due at one time stay together: the tick of that time leaves none behind.
        while stop < len(due_ms) and due_ms[stop] == due_ms[stop - 1]:
            stop += 1
        yield Block(nothing, range(labelled, stop), due_ms[stop - 1])
        labelled = stop
