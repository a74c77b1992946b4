"""The composition of the training service: when to retrain, and the worker that does it."""

from __future__ import annotations

from collections.abc import Callable

from services.training.fit_process import FitProcess
from services.training.fit_worker import Fitter, FitWorker
from services.training.schedule import schedule
from shared.runtime.decided_outcomes import DecidedOutcomes
from shared.runtime.process import Process
from shared.runtime.service import Service


def build(fitter: Callable[[], Fitter] = FitProcess) -> Service:
    """`fitter` makes what runs a job: by default a process of its own."""

    def worker(process: Process) -> FitWorker:
        outcomes = next(f for f in process.followers if isinstance(f, DecidedOutcomes))
        return FitWorker(process, outcomes, fitter())

    return Service("training", {"schedule": schedule()}, workers=(worker,), followers=(DecidedOutcomes,))
