"""The worker beside a store that is away, outcomes that come late and a full disk: polling goes on, and facts are told
once."""

from __future__ import annotations

import errno
import os
from collections import Counter

import pytest

from deploy.simulation.memory_store import SimulatedStore
from deploy.simulation.remembered_fits import RememberedFits
from services.training.job import FitFailed, FitJob, FitResult, Report
from shared.contracts.control import Reference, RunFailed, RunFinished, RunStarted
from shared.contracts.envelope import Message
from shared.runtime.artifacts import ArtifactMissing
from shared.runtime.decided_outcomes import DecidedOutcomes
from shared.runtime.outcome_segments import Row
from tests.scenarios import simulated
from tests.scenarios.topic_history import CONTROL_TP, TopicHistory


class Away(SimulatedStore):
    """Refuses the first so many writes."""

    refusals = 0

    def put(self, log_id: str, kind: str, data: bytes, suffix: str = "") -> Reference:
        if kind == "models" and Away.refusals:
            Away.refusals -= 1
            raise ArtifactMissing(kind, "the store is away")
        return super().put(log_id, kind, data, suffix)


class Late(DecidedOutcomes):
    """Has not read all of what the first so many questions are about."""

    questions = 0

    def rows(self, model: str, first: int, last: int, last_record_id: str) -> list[Row] | None:
        if Late.questions:
            Late.questions -= 1
            return None
        return super().rows(model, first, last, last_record_id)


class Counted(RememberedFits):
    """Counts how often each run was fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = Counter[str]()

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        self.runs[job.run_id] += 1
        return super().__call__(job, report)


class FullDisk(RememberedFits):
    """Cannot write a job."""

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "job.json")


def test_a_run_that_waits_is_begun_and_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = Counted()
    monkeypatch.setattr(simulated, "FITS", fits)
    monkeypatch.setattr("deploy.simulation.world.SimulatedStore", Away)
    monkeypatch.setattr("services.training.app.DecidedOutcomes", Late)
    Away.refusals, Late.questions = 3, 5
    platform = simulated.lockstep(1, 1, count=simulated.SHORT)
    assert (Away.refusals, Late.questions) == (0, 0)
    events = [
        entry.event
        for _, entry in TopicHistory.of_memory(platform.world.broker).entries(CONTROL_TP)
        if isinstance(entry, Message)
    ]
    finished = [event.run_id for event in events if isinstance(event, RunFinished)]
    assert finished
    assert not any(isinstance(event, RunFailed) for event in events)
    assert Counter(event.run_id for event in events if isinstance(event, RunStarted)) == Counter(finished)
    assert fits.runs == Counter(finished)


def test_a_full_disk_is_a_failed_run_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "FITS", FullDisk())
    platform = simulated.lockstep(1, 1, count=simulated.SHORT)
    failed = [message.event for message in platform.decided() if isinstance(message.event, RunFailed)]
    assert failed
    assert all("OSError" in run.reason and "No space left on device" in run.reason for run in failed)


class Refusing(RememberedFits):
    """Says itself why it came to nothing."""

    def __call__(self, job: FitJob, report: Report) -> FitResult:
        raise FitFailed("OneClassOnly: all 300 rows have the label 1")


def test_a_fitter_s_own_words_are_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "FITS", Refusing())
    platform = simulated.lockstep(1, 1, count=simulated.SHORT)
    failed = [message.event for message in platform.decided() if isinstance(message.event, RunFailed)]
    assert {run.reason for run in failed} == {"OneClassOnly: all 300 rows have the label 1"}
