"""Streams of records whose truth is known."""

from __future__ import annotations

import random

from deploy.simulation.decision_loop import Recorded
from tests import builders as b

STEP_MS = 60_000


def stream(count: int, *, changes_at: int | None, seed: int = 1, late: int = 20) -> list[Recorded]:
    """A label that is 1 where x > 0, but for a tenth; from `changes_at` on where x < 0."""
    draw, records = random.Random(seed), list[Recorded]()
    for n in range(count):
        x = draw.gauss(0.0, 1.0)
        says = (x > 0.0) != (changes_at is not None and n >= changes_at)
        label = float(says != (draw.random() < 0.1))
        at_ms = b.T0_MS + n * STEP_MS
        inputs: dict[str, float | str | None] = {"amount": x, "category": draw.choice(["food", "travel"])}
        records.append(Recorded(f"t{n:05}", at_ms, at_ms + late * STEP_MS, inputs, label))
    return records
