"""Fits in the process itself, done once for the same job: remembered by its rows, parameters and seed, never faked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson

from services.training.fit_job import run_job
from services.training.job import FAILURES, FitFailed, FitJob, FitResult, Report, failure_reason


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job, and the seconds of CPU that it took."""

    progress: tuple[tuple[float, str], ...]
    result: FitResult | FitFailed
    cpu_s: float

    def told(self, report: Report) -> FitResult:
        """The progress once more, and the result. Raises FitFailed with the reason of a job that cannot be done."""
        for fraction, doing in self.progress:
            report(fraction, doing)
        if isinstance(self.result, FitFailed):
            raise self.result
        return self.result


class RememberedFits:
    """Shared by all worlds of a test. On virtual time a fit takes none: its duration is 0."""

    def __init__(self) -> None:
        self._done: dict[str, Done] = {}
        self.fitted = 0

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        """The result of `run_job`. Raises FitFailed with the reason of a job that cannot be done."""
        return self.done(job).told(report)

    def done(self, job: FitJob, begins: Callable[[FitJob], None] | None = None) -> Done:
        """`begins`: is told of a job that was not done before."""
        key = _key(job)
        if key not in self._done:
            if begins is not None:
                begins(job)
            self._done[key] = self._do(job)
        return self._done[key]

    def _do(self, job: FitJob) -> Done:
        progress: list[tuple[float, str]] = []
        self.fitted += 1
        started_s = time.process_time()
        try:
            done = run_job(job, lambda fraction, doing: progress.append((fraction, doing)))
            result = replace(done, duration_s=0.0)
        except FAILURES as error:
            result = FitFailed(failure_reason(error))
        return Done(tuple(progress), result, time.process_time() - started_s)

    def close(self) -> None:
        """The memory outlives the processes that use it."""


def _key(job: FitJob) -> str:
    """Everything that the result depends on; the run's own id is no part of it, nor what leads to runs."""
    champion = hashlib.sha256(job.champion_artifact or b"").hexdigest()
    fields = {
        "model": job.model.model_dump(mode="json", exclude={"retrain", "rollout"}),
        "spec": job.input_spec,
        "rows": list(job.rows),
        "since": job.since,
        "seed": job.seed,
        "champion": job.champion,
        "champion_sha256": champion,
    }
    return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()
