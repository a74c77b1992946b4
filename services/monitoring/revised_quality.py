"""What the answers' figures would be by the labels of now: the corrections since, beside the figures of the time.

For each corrected label of an answered outcome the figures by the old label go out of the sums, and those by the new
one come in. Sums are all that is kept, so nothing is forgotten too early and nothing is kept for long; a record's
corrections add up to the last of them, whatever their number.

What was counted before the metrics or their unit changed in the definition is no longer corrected: it cannot be taken
out of sums by another measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.monitoring import prequential
from services.monitoring.prequential import PrequentialState


class RevisedQuality(NamedTuple):
    """`measure`: what the figures are by. `since`: (event time, record id) of the first outcome counted by it.
    `revisions`: corrections; `outcomes`, `totals`: what they add to the outcomes counted and to each metric's sum."""

    measure: str
    since: tuple[int, str]
    revisions: int
    outcomes: int
    totals: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RevisedQuality:
        """The state that `to_json` wrote."""
        time_ms, record_id = data["since"]
        return cls(
            data["measure"], (time_ms, record_id), data["revisions"], data["outcomes"], tuple(data["totals"])
        )  # fmt: skip


def following(
    state: RevisedQuality | None, measure: str, outcome: tuple[int, str], width: int, anew: bool
) -> RevisedQuality:
    """Before an outcome, by (event time, record id), is counted. `anew`: the sums of `width` metrics begin with it."""
    if state is None or anew:
        return RevisedQuality(measure, outcome, 0, 0, (0.0,) * width)
    return state if state.measure == measure else state._replace(measure=measure, since=outcome)


def corrected(
    state: RevisedQuality,
    measure: str,
    outcome: tuple[int, str],
    before: tuple[float, ...] | None,
    after: tuple[float, ...] | None,
) -> RevisedQuality:
    """With one more corrected label; `before` and `after`: the figures by the old one and the new, None where it gave
    none."""
    if measure != state.measure or outcome < state.since or before == after:
        return state
    nothing = (0.0,) * len(state.totals)
    added = zip(state.totals, before or nothing, after or nothing, strict=True)
    return state._replace(
        revisions=state.revisions + 1,
        outcomes=state.outcomes + (after is not None) - (before is not None),
        totals=tuple(total - old + new for total, old, new in added),
    )


def total(state: RevisedQuality | None, quality: PrequentialState | None, of: str) -> dict[str, float]:
    """The mean of each metric since the start, with all corrections; empty where nothing was corrected, or is left."""
    if state is None or quality is None or not state.revisions:
        return {}
    figures = prequential.figures(quality, of).total
    count = figures.count + state.outcomes
    if count <= 0:
        return {}
    sums = zip(quality.metrics, state.totals, strict=True)
    return {name: (figures.values.get(name, 0.0) * figures.count + extra) / count for name, extra in sums}
