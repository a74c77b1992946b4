"""What the fits of one configuration cost: one that several configurations ask for is done once, counted for each."""

from __future__ import annotations

from collections.abc import Callable

from deploy.simulation.remembered_fits import RememberedFits
from services.training.job import FitJob, FitResult, Report


class TimedFits:
    """`cpu_s`: seconds of CPU so far, of fits that failed too. `begins`: told of each that was not done before."""

    def __init__(self, remembered: RememberedFits, begins: Callable[[FitJob], None]) -> None:
        self._remembered, self._begins = remembered, begins
        self.cpu_s = 0.0

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        """Raises FitFailed (RememberedFits)."""
        done = self._remembered.done(job, self._begins)
        self.cpu_s += done.cpu_s
        return done.told(report)
