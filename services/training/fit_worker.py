"""Does the runs that are asked for: reads the decided outcomes, has them fitted elsewhere, and publishes the end."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from services.training.job import FAILURES, DecidedRow, FitJob, FitResult, Report, failure_reason
from shared.contracts import control as c
from shared.contracts.definitions import Model
from shared.contracts.envelope import Event
from shared.contracts.errors import HeadraceError
from shared.contracts.identity import derived_id
from shared.contracts.platform import ModelState, Platform, RunState
from shared.contracts.topics import CONTROL
from shared.contracts.trace_context import carried_on
from shared.inputs.vector import InputPlan
from shared.runtime.artifacts import ArtifactMissing
from shared.runtime.decided_outcomes import DecidedOutcomes
from shared.runtime.process import Process

Fitted = tuple[FitResult, c.Reference]
FITTING = "fitting run"  # how `doing` tells a run whose beginning is published
REFERENCE_KNOTS = 33


class NotAllRead(HeadraceError):
    """Outcomes that a run reads have not all come yet."""

    def __init__(self, model: str, position: int) -> None:
        super().__init__(f"outcomes of {model} are not read up to {position} yet; the run waits for them")


NOT_READ_S = 0.02
STORE_AWAY_S, STORE_AWAY_AT_MOST_S = 1.0, 30.0  # twice as long after each refusal


class Fitter(Protocol):
    """Runs a job, here or elsewhere, and raises why it failed."""

    def __call__(self, job: FitJob, report: Report) -> FitResult: ...

    def close(self) -> None: ...


class FitWorker:
    """One run at a time; the others wait. After a restart a run without an end is done again: the first end counts.

    Of several instances the one that schedules the runs does them.
    """

    def __init__(self, process: Process, outcomes: DecidedOutcomes, fitter: Fitter) -> None:
        self._process, self._outcomes, self._fitter = process, outcomes, fitter
        self._job: tuple[RunState, str, Future[Fitted]] | None = None
        self._ended: set[str] = set()
        self._unstored: dict[str, FitResult] = {}  # by run
        self._said: queue.SimpleQueue[tuple[RunState, str, c.RunStarted | c.RunProgressed]] = queue.SimpleQueue()
        self._reported = 0
        self._fitting = ""
        self._refusals = 0
        self._not_before_s = float("-inf")

    @property
    def doing(self) -> Sequence[str]:
        platform = self._process.history.newest
        return [
            f"{FITTING if run.run_id == self._fitting else 'run'} {run.run_id[:8]} of {name}"
            for name, run in self._wanted(platform)
        ]

    def _wanted(self, platform: Platform) -> list[tuple[str, RunState]]:
        if not self._process.runs("schedule"):
            return []
        return [(name, state.run) for name, state in platform.models.items() if state.run is not None]

    def turn(self) -> None:
        self._publish_said()
        if self._job is not None:
            run, model, future = self._job
            if future.done():
                self._job = None
                self._publish_said()
                self._fitting = ""
                self._end(run, model, future)
        elif self._process.clock.now_s() >= self._not_before_s:
            self._start_next()

    def _start_next(self) -> None:
        platform = self._process.history.newest
        wanted = self._wanted(platform)
        self._unstored = {run.run_id: self._unstored[run.run_id] for _, run in wanted if run.run_id in self._unstored}
        for name, run in wanted:
            if run.run_id not in self._ended:
                self._start(platform, name, run)
                return

    def _start(self, platform: Platform, name: str, run: RunState) -> None:
        definition, state = platform.definitions.models[name], platform.models[name]
        spec = InputPlan.of(definition, platform.definitions).names_and_kinds
        self._reported = 0
        future = self._process.executor.submit(self._do, definition, spec, state, run, name)
        self._job = (run, name, future)

    def _do(self, definition: Model, spec: Any, state: ModelState, run: RunState, name: str) -> Fitted:
        """On a thread of its own: whatever the object store does, polling goes on. What is fitted is fitted once."""
        result = self._unstored.get(run.run_id)
        if result is None:
            result = self._unstored[run.run_id] = self._fit(definition, spec, state, run, name)
        log_id = self._process.history.log_id or ""
        return result, self._process.artifacts.put(log_id, "models", result.artifact, ".onnx")

    def _fit(self, definition: Model, spec: Any, state: ModelState, run: RunState, name: str) -> FitResult:
        rows = self._outcomes.rows(name, 0, run.position, run.request.last_record_id or "")
        if rows is None:
            raise NotAllRead(name, run.position)
        champion = run.request.champion
        artifact = None if champion is None else self._process.artifacts.get(state.versions[champion].artifact)
        labelled = [
            DecidedRow(row["ordinal"], row["record_id"], row["scored_ms"], row["inputs"], row["label"])
            for row in rows
            if row["label"] is not None
        ]
        job = FitJob(
            run_id=run.run_id, model=definition, input_spec=tuple(spec), rows=labelled, since=run.request.since,
            seed=run.request.seed, champion=champion, champion_artifact=artifact,
        )  # fmt: skip
        begun = c.RunStarted(run_id=run.run_id, model=name, worker=self._process.outside.identity)
        self._said.put((run, name, begun))

        def report(fraction: float, doing: str) -> None:
            event = c.RunProgressed(run_id=run.run_id, model=name, fraction=fraction, doing=doing)
            self._said.put((run, name, event))

        return self._fitter(job, report)

    def _publish_said(self) -> None:
        """The beginning, number 0, and the progress of a fit: said on its thread, published on the driver's."""
        while not self._said.empty():
            run, name, event = self._said.get()
            self._publish(run, name, event, self._reported)
            self._reported += 1
            self._fitting = run.run_id

    def _end(self, run: RunState, name: str, future: Future[Fitted]) -> None:
        error = future.exception()
        if isinstance(error, (ArtifactMissing, NotAllRead)):
            # The store is away, or a row still on its way: the run is not to blame.
            self._not_before_s = self._process.clock.now_s() + self._wait_s(error)
            return
        self._refusals = 0
        self._unstored.pop(run.run_id, None)
        event: Event
        if error is None:
            event = run_finished(run.request, *future.result())
        elif isinstance(error, FAILURES):
            event = c.RunFailed(run_id=run.run_id, model=name, reason=failure_reason(error))
        else:
            raise error
        self._ended.add(run.run_id)
        self._publish(run, name, event)

    def _wait_s(self, error: ArtifactMissing | NotAllRead) -> float:
        if isinstance(error, NotAllRead):
            return NOT_READ_S
        self._refusals += 1
        return min(STORE_AWAY_S * 2 ** (self._refusals - 1), STORE_AWAY_AT_MOST_S)

    def _publish(self, run: RunState, name: str, event: Event, ordinal: int = 0) -> None:
        history, event_id = self._process.history, derived_id(run.run_id, event.ce_type, name, ordinal)
        requested = history.entries[run.requested_at - 1].message
        parent = requested.trace if requested else None
        self._process.outside.publish(
            CONTROL, event, event_id=event_id, key=name, time_ms=history.newest.now_ms(name),
            trace=carried_on(parent, event_id) if parent else None,
        )  # fmt: skip

    def close(self) -> None:
        """End what fits."""
        self._fitter.close()


def run_finished(request: c.RunRequested, result: FitResult, artifact: c.Reference) -> c.RunFinished:
    """What a run has made, as the registry and the monitors read it."""
    loss, reference = result.manifest["loss"], result.manifest["reference"]
    held_back = None
    if loss.get("bounded_mean") is not None:
        upper = min(loss["bounded_upper"], 1.0)
        held_back = c.HeldBackLoss(mean=loss["bounded_mean"], upper=upper, rows=loss["rows"])
    return c.RunFinished(
        run_id=request.run_id,
        model=request.model,
        artifact=artifact,
        family=result.family,
        parameters=result.parameters,
        metrics=result.metrics,
        gate=result.gate,
        fitted_from=result.fitted_from,
        fitted_to=result.fitted_to,
        judged_from=result.judged_from,
        window=result.window,
        windows=result.windows,
        dataset_sha256=result.dataset_sha256,
        seed=request.seed,
        duration_s=round(result.duration_s, 3),
        parity_rows=result.parity_rows,
        parity_largest=result.parity_largest,
        held_back=held_back,
        reference=thinned(reference),
        calibration=result.manifest.get("calibration"),
        expected_loss=result.manifest.get("expected_loss"),
        classes=tuple(result.manifest.get("classes") or ()),
        unusable_labels=result.unusable_labels,
    )


def thinned(reference: dict[str, Any]) -> dict[str, Any]:
    """A reference small enough for an event: 33 of its evenly spaced quantiles; figures are kept as they are."""
    numbers: dict[str, Any] = {}
    for name, figures in reference.get("numbers", {}).items():
        knots = figures["quantiles"]
        step = max(1, (len(knots) - 1) // (REFERENCE_KNOTS - 1))
        numbers[name] = {**figures, "quantiles": knots[::step]}
    return {**reference, "numbers": numbers}
