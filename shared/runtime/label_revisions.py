"""Which label of a record is in force at a time, after all that revised it: looked up by record, not searched for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.contracts.flow import OutcomeRevised


class RevisedLabel(NamedTuple):
    """The label that an outcome has from `time_ms` on."""

    time_ms: int
    label: float | str | None
    label_id: str


class LabelRevisions:
    """Of one model. Of a record's revisions the last one in the log stands, of those that are no later than asked.

    Held are, of each revised record, only those that stand at some time: what a later entry of the log dates no later
    is let go. So their times increase. All records stay: a run reads the decided outcomes from the first one on.
    """

    def __init__(self) -> None:
        self._of: dict[str, tuple[RevisedLabel, ...]] = {}

    def add(self, time_ms: int, event: OutcomeRevised) -> None:
        """The next revision in the order of the log."""
        earlier = (held for held in self._of.get(event.record_id, ()) if held.time_ms < time_ms)
        self._of[event.record_id] = (*earlier, RevisedLabel(time_ms, event.label, event.label_id))

    def as_of(self, record_ids: Iterable[str], by_ms: int) -> Mapping[str, RevisedLabel]:
        """Of these records, the labels in force at `by_ms`, where a revision says so."""
        found: dict[str, RevisedLabel] = {}
        for record_id in record_ids:
            for held in reversed(self._of.get(record_id, ())):
                if held.time_ms <= by_ms:
                    found[record_id] = held
                    break
        return found

    def __len__(self) -> int:
        """How many revisions are held."""
        return sum(map(len, self._of.values()))
