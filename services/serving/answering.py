"""From a request to a prediction that is logged: the same inputs, split and models as in the stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from services.serving.loader import Loader
from services.serving.prediction import Question, predict
from services.serving.refused import Refused
from services.serving.request_figures import FAILED, RequestMetrics
from services.serving.request_log import FactTooLarge, LogUnwritable, RequestLog
from services.serving.request_plan import AskedRecord
from services.serving.sign_of_life import SignOfLife
from services.serving.split import split_of, subject_of
from services.serving.standing import Stand
from shared.contracts.envelope import NEVER_MS
from shared.contracts.flow import Inputs, PredictionMade
from shared.inputs.windows import WindowState
from shared.runtime.process import Process
from shared.runtime.tables import TableFollower


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """`entity_known` None: the model looks nothing up. `at_ms`: as of when the inputs are."""

    made: PredictionMade
    at_ms: int
    entity_known: bool | None


class Answering:
    """Shared by the routes of one process; used on HTTP threads."""

    def __init__(self, process: Process, metrics: CollectorRegistry) -> None:
        self._process = process
        self._loader, self._log = Loader.of(process), RequestLog.of(process)
        self._meter, self._tables = SignOfLife.of(process).meter, TableFollower.of(process)
        self._metrics = RequestMetrics(metrics)

    def models(self) -> Mapping[str, Stand]:
        """Every model that requests can be answered for, by name."""
        return self._loader.standing.stands

    def missing(self) -> str | None:
        """Why not every model answers under the newest decisions; None: all do."""
        platform = self._process.history.newest
        if platform.log_id is None:
            return "control.v1 has not been read: is the broker there, and the registry?"
        if self._log.closed_for is not None:
            return f"requests cannot be logged: {self._log.closed_for}"
        behind = [
            f"version {number} of {name}"
            for name in platform.definitions.models
            for number in platform.model(name).in_play
            if number not in self._versions(name)
        ]
        if behind:
            return f"being loaded: {', '.join(behind)}"
        stands = self.models().values()
        return next((why for stand in stands if (why := self._unread(stand)) is not None), None)

    def stand(self, model: str) -> Stand:
        """What answers for a model. Raises Refused: 404 if there is no such model, 503 while it is being loaded."""
        stand = self.models().get(model)
        if stand is not None:
            return stand
        platform = self._process.history.newest
        known = platform.definitions.models
        if platform.log_id is None:
            raise Refused(503, "no model is known yet: control.v1 has not been read; is the broker there?")
        if model in known:
            raise Refused(503, f"model {model} is being loaded: ask again in a moment")
        if not known:
            raise Refused(404, f"model {model!r} is not declared, and no other is: apply one with `headrace apply`")
        raise Refused(404, f"model {model!r} is not declared; declared are {', '.join(sorted(known))}")

    def record(self, stand: Stand, body: object, at: str | None, request_id: str) -> RecordAnswer:
        """The prediction for one record. Raises Refused: 422 if it does not fit, 503 while a table is not whole."""
        asked = stand.plan.read(body, at, self._now_ms(stand))
        unread = self._unread(stand)
        if unread is not None:
            raise Refused(503, f"{unread}; ask again")
        plan = stand.plan.inputs
        at_ms = self._as_of_ms(stand, asked)
        rows = {name: self._tables.row(name, stand.plan.entity_of(view, asked)) for name, view in plan.views.items()}
        windows = {view: WindowState.from_json(row.state) if row else None for view, row in rows.items()}
        inputs = plan.inputs(asked.value, at_ms, windows)
        known = not plan.unknown_entity(windows) if plan.views else None
        return RecordAnswer(self._made(stand, asked.entity, asked.record_id, inputs, request_id), at_ms, known)

    def rows(
        self, stand: Stand, entity: str, rows: Sequence[Inputs], request_id: str
    ) -> tuple[list[PredictionMade], int]:
        """Predictions for raw inputs, all of one entity, and the time that they are logged under."""
        at_ms = self._as_of_ms(stand, AskedRecord(entity, None, None, {}))
        return [self._made(stand, entity, None, inputs, request_id) for inputs in rows], at_ms

    async def logged(self, stand: Stand, made: Sequence[PredictionMade], at_ms: int, trace: str | None) -> None:
        """Return once the predictions are on disk. `trace`: the request's `traceparent`.
        Raises Refused: 413 if one is too large, 503 if the disk fails."""
        try:
            await asyncio.wrap_future(self._log.append(made, at_ms, stand.plan.source.partitions, trace))
        except FactTooLarge as large:
            raise Refused(413, str(large)) from large
        except LogUnwritable as unwritable:
            raise Refused(503, str(unwritable)) from unwritable

    def count(self, model: str, version: int | None, code: int, started_s: float) -> None:
        """Measure an answer. `version`: which one answered, or should have."""
        seconds = time.perf_counter() - started_s
        self._metrics.count(model, version, code, seconds)
        if version is not None:
            self._meter.count(model, version, seconds, failed=code == FAILED)

    def _unread(self, stand: Stand) -> str | None:
        """Inputs from a part of a table would be no inputs at all: why they cannot be had yet."""
        views = stand.plan.inputs.views
        return next((why for view in views if (why := self._tables.why_unread(view)) is not None), None)

    def _versions(self, model: str) -> Mapping[int, object]:
        stand = self.models().get(model)
        return stand.in_play if stand else {}

    def _made(
        self, stand: Stand, entity: str, record_id: str | None, inputs: Inputs, request_id: str
    ) -> PredictionMade:
        question = Question(stand.definition.name, entity, record_id, inputs, "http", request_id)
        subject = subject_of(stand.definition, entity, record_id, request_id)
        return predict(question, stand.position, split_of(stand.state, subject), stand.in_play)

    def _now_ms(self, stand: Stand) -> int:
        """How far a source's clock has come. One of events may run ahead of ours, and may not have ticked for long."""
        return max(self._process.clock.wall_ms(), self._process.history.newest.ticks.get(stand.plan.clock, NEVER_MS))

    def _as_of_ms(self, stand: Stand, asked: AskedRecord) -> int:
        """The time that the request carries, else the newest tick of the source's clock, else what is known next."""
        if asked.at_ms is not None:
            return asked.at_ms
        ticked_ms = self._process.history.newest.ticks.get(stand.plan.clock)
        if ticked_ms is not None:
            return ticked_ms
        views = stand.plan.inputs.views.items()
        newest = (self._tables.newest_ms(name, stand.plan.entity_of(view, asked)) for name, view in views)
        return max((ms for ms in newest if ms is not None), default=self._process.clock.wall_ms())


def no_version(stand: Stand) -> Refused:
    """What a model says before its first version."""
    labelled, rows = stand.state.labelled, stand.definition.training.minimum_rows
    return Refused(
        503,
        f"model {stand.definition.name} has no version yet: {labelled} of {rows} labelled rows are there",
        labelled=labelled,
        minimum_rows=rows,
    )


def no_output(stand: Stand, version: int) -> Refused:
    """What is told when the version that should answer fails."""
    return Refused(
        500,
        f"version {version} of {stand.definition.name} gives no finite output for these inputs; the request is logged, "
        "and counts as an error of that version",
        version=version,
    )
