"""Fits in the process itself, done once for the same job: remembered by its rows, parameters and seed, never faked."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace

import orjson

from services.training.fit_job import run_job
from services.training.job import FitJob, FitResult, Report
from shared.contracts.errors import HeadraceError


class FitRefused(HeadraceError):
    """What a job raised when it was done."""


@dataclass(frozen=True, slots=True)
class _Done:
    progress: tuple[tuple[float, str], ...]
    result: FitResult | FitRefused


class RememberedFits:
    """Shared by all worlds of a test. On virtual time a fit takes none: its duration is 0."""

    def __init__(self) -> None:
        self._done: dict[str, _Done] = {}
        self.fitted = 0

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        """The result of `run_job`. Raises FitRefused with the reason of a job that cannot be done."""
        key = _key(job)
        if key not in self._done:
            self._done[key] = self._do(job)
        done = self._done[key]
        for fraction, doing in done.progress:
            report(fraction, doing)
        if isinstance(done.result, FitRefused):
            raise done.result
        return done.result

    def _do(self, job: FitJob) -> _Done:
        progress: list[tuple[float, str]] = []
        self.fitted += 1
        try:
            result = run_job(job, lambda fraction, doing: progress.append((fraction, doing)))
        except (ValueError, ArithmeticError, RuntimeError) as error:
            return _Done(tuple(progress), FitRefused(f"{type(error).__name__}: {error}"))
        return _Done(tuple(progress), replace(result, duration_s=0.0))

    def close(self) -> None:
        """The memory outlives the processes that use it."""


def _key(job: FitJob) -> str:
    """Everything that the result depends on; the run's own id is no part of it."""
    champion = hashlib.sha256(job.champion_artifact or b"").hexdigest()
    fields = {
        "model": job.model.model_dump(mode="json"),
        "spec": job.input_spec,
        "rows": [asdict(row) for row in job.rows],
        "since": job.since,
        "seed": job.seed,
        "champion": job.champion,
        "champion_sha256": champion,
    }
    return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()
