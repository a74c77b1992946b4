"""Whether a drift on watch says that the former champion did better: one rule for who rolls back and who retrains."""

from __future__ import annotations

import math

from shared.contracts.control import DriftDetected

WATCHED_OUTCOMES = 50  # fewer say nothing


def former_did_better(drift: DriftDetected, champion: int | None, former: int | None) -> bool:
    """The alarm is the champion's, and over the outcomes since the change, enough of them scored by both, the former
    one's loss was lower."""
    figures = drift.watch
    return (
        figures is not None
        and drift.version == champion
        and figures.former == former
        and figures.outcomes >= WATCHED_OUTCOMES
        and math.isfinite(figures.mean_difference)
        and figures.mean_difference > 0.0
    )
