"""Streams made of a stretch's own losses: permuted, so that they hold no change, and with one put in.

Autocorrelated losses are permuted in blocks of `BLOCK_TIMES` autocorrelation times, which keeps what hangs together;
independent ones one by one.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator

from services.monitoring.backtest.recorded import Stretch
from services.monitoring.reference_loss import BLOCK_TIMES


class Shuffled:
    """A stretch made ready to be permuted often."""

    def __init__(self, stretch: Stretch) -> None:
        time = stretch.autocorrelation_time
        self.block = 1 if time == 1.0 else math.ceil(BLOCK_TIMES * time)
        losses = list(stretch.losses)
        self._blocks = [losses[n : n + self.block] for n in range(0, len(losses), self.block)]
        self.mean = stretch.mean
        self.count = len(losses)
        ordered = sorted(losses)
        self._above = ordered[bisect_right(ordered, self.mean) :]

    def losses(self, rng: random.Random) -> list[float]:
        """All of them, in another order."""
        rng.shuffle(self._blocks)
        return [loss for block in self._blocks for loss in block]

    def share_raised(self, rise: float) -> float | None:
        """Which share of losses has to be replaced by ones above the mean, for the mean to rise by so much.

        None: not even if all are.
        """
        if not self._above:
            return None
        share = rise / (sum(self._above) / len(self._above) - self.mean)
        return share if share <= 1.0 else None

    def raised(self, rng: random.Random, share: float) -> Iterator[list[float]]:
        """Losses without end, whose mean is higher: a share of them is drawn from those above the mean."""
        while True:
            yield [rng.choice(self._above) if rng.random() < share else loss for loss in self.losses(rng)]
