"""Real fits, with what they cost: one that several configurations ask for is done once, and counted for each."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from services.training.fit_job import run_job
from services.training.job import FitJob, FitResult, Report

_Key = tuple[int, int, int | None, int, str]
_Done = tuple[FitResult, float]


class RememberedFits:
    """Of one stream and one model, but for its `retrain` and `rollout`: nothing else tells one job from another."""

    def __init__(self) -> None:
        self._done: dict[_Key, _Done] = {}

    def done(self, job: FitJob) -> _Done | None:
        return self._done.get(_key(job))

    def keep(self, job: FitJob, result: FitResult, cpu_s: float) -> None:
        self._done[_key(job)] = result, cpu_s


class TimedFits:
    """The fits of one configuration. `cpu_s`: seconds of CPU by run, of those that failed too.

    `begins`: told of each fit that was not done before."""

    def __init__(self, remembered: RememberedFits, begins: Callable[[FitJob], None]) -> None:
        self._remembered, self._begins = remembered, begins
        self.cpu_s: dict[str, float] = {}

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        """The result of `run_job`. Raises what that raises."""
        done = self._remembered.done(job)
        if done is not None:
            self.cpu_s[job.run_id] = done[1]
            return done[0]
        self._begins(job)
        started_s = time.process_time()
        try:
            result = run_job(job, report)
        finally:
            self.cpu_s[job.run_id] = time.process_time() - started_s
        self._remembered.keep(job, result, self.cpu_s[job.run_id])
        return result


def _key(job: FitJob) -> _Key:
    champion = hashlib.sha256(job.champion_artifact or b"").hexdigest()
    return len(job.rows), job.rows[-1].position if job.rows else -1, job.since, job.seed, champion
