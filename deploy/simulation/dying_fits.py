"""What fits, in a process that may die: the next fit ends as that of a real fit process does when it is killed."""

from __future__ import annotations

from collections.abc import Callable

from services.training.fit_worker import Fitter
from services.training.job import FitFailed, FitJob, FitResult, Report


class DyingFits:
    """Fits by `fitter`, but for those that die. `died` is told of each."""

    def __init__(self, fitter: Fitter, died: Callable[[], None]) -> None:
        self._fitter, self._died = fitter, died
        self._dies = False

    def die(self) -> None:
        """In the next fit."""
        self._dies = True

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        """Raises FitFailed."""
        if self._dies:
            self._dies = False
            self._died()
            raise FitFailed("the fit process ended with code -9 in the middle of a run; see its log")
        return self._fitter(job, report)

    def close(self) -> None:
        """What it fits with outlives it."""
