"""A model's recorded losses: each outcome with what was decided then, and the stretches between promotions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.monitoring.backtest.decided_as_of import DecidedAsOf
from services.monitoring.backtest.request import Entry, NothingToReplay
from services.monitoring.outcome_losses import Judged, judged
from shared.contracts import autocorrelation
from shared.contracts import control as c
from shared.contracts.definitions import Model
from shared.contracts.platform import ModelState
from shared.runtime.outcome_segments import Row


@dataclass(frozen=True, slots=True)
class Stretch:
    """The losses of one version from its promotion to the next one, with the ordinals of their outcomes."""

    version: int
    since: int  # control position of the promotion
    ordinals: Sequence[int]
    losses: Sequence[float]

    @property
    def mean(self) -> float:
        return sum(self.losses) / len(self.losses)

    @property
    def autocorrelation_time(self) -> float:
        return autocorrelation.autocorrelation_time(autocorrelation.of_values(self.losses))

    def mean_between(self, first: int, last: int) -> float | None:
        """Of outcomes [first, last); None if it has none of them."""
        found = [loss for n, loss in zip(self.ordinals, self.losses, strict=True) if first <= n < last]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True, slots=True)
class Recorded:
    """`outcomes`: all that were decided, with the model's state then. `alarms`: those that were really raised."""

    model: Model
    outcomes: Sequence[tuple[Judged, ModelState]]
    stretches: Sequence[Stretch]
    alarms: Sequence[c.DriftDetected]

    def stretch_at(self, ordinal: int) -> Stretch | None:
        """The stretch in which an outcome lies."""
        return next((s for s in self.stretches if s.ordinals[0] <= ordinal <= s.ordinals[-1]), None)

    def replaced_at(self, stretch: Stretch) -> int | None:
        """The first outcome of the version that came after a stretch's."""
        return next((after.ordinals[0] for before, after in pairwise(self.stretches) if before is stretch), None)


def recorded(model: str, entries: Sequence[Entry], rows: Sequence[Row], first: int, last: int | None) -> Recorded:
    """What rows [first, last) and the log tell. Raises NothingToReplay."""
    newest = DecidedAsOf(model, entries).newest()
    definition = newest.definitions.models[model]
    if not rows:
        raise NothingToReplay(
            f"{model} has no decided outcome: labels mature {definition.label.matures_after / 1000:g} s after their "
            "record; see with `headrace status` whether records and labels come"
        )
    if not newest.model(model).versions:
        raise NothingToReplay(
            f"{model} has no version yet, so none of its {len(rows):,} outcomes has a loss: the first is fitted when "
            f"{definition.training.minimum_rows:,} outcomes with a label have matured; see `headrace status`"
        )
    decided = DecidedAsOf(model, entries)
    outcomes = [
        (
            judged(definition, newest, row, row["ordinal"] + 1),
            decided.at(row["ordinal"], row["champion"], row["due_ms"]),
        )
        for row in rows
        if first <= row["ordinal"] and (last is None or row["ordinal"] < last)
    ]
    stretches = _stretches(outcomes)
    if not stretches:
        raise NothingToReplay(
            f"{len(outcomes):,} of the {len(rows):,} recorded outcomes of {model} are asked for, and none of them has "
            "a loss of the version that answered: choose others with --from and --to, or wait for labelled answers "
            "(`headrace status`)"
        )
    events = (entry.message.event for entry in entries if entry.type == "DriftDetected")
    alarms = [event for event in events if isinstance(event, c.DriftDetected) and event.model == model]
    alarms = [alarm for alarm in alarms if alarm.monitor == "loss"]  # no detector's
    seen = range(first, len(rows) if last is None else last)
    return Recorded(definition, outcomes, stretches, [alarm for alarm in alarms if alarm.position - 1 in seen])


def _stretches(outcomes: Sequence[tuple[Judged, ModelState]]) -> list[Stretch]:
    found: dict[int, tuple[int, list[int], list[float]]] = {}
    for outcome, decided in outcomes:
        champion = decided.champion
        if champion is None or outcome.row["champion"] != champion:
            continue
        loss = outcome.losses.get(champion)
        if loss is not None:
            _, ordinals, losses = found.setdefault(decided.promoted_at or 0, (champion, [], []))
            ordinals.append(outcome.ordinal)
            losses.append(loss)
    return [Stretch(version, since, ordinals, losses) for since, (version, ordinals, losses) in found.items()]
