"""What became of a model's predictions, counted from `outcomes.<model>` alone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.console.answer_quality import AnswerFigures, figure
from shared.contracts.definitions import Model
from shared.contracts.envelope import Message
from shared.contracts.flow import (
    LabelStatus,
    LabelUnused,
    OutcomeMatured,
    OutcomeRevised,
    OutcomeScored,
    PredictionMade,
    RecordStreamed,
)

ClassesOf = Callable[[int], Sequence[str] | None]  # of a version; None: the version is not known yet


@dataclass(slots=True)
class OutcomeCounts:
    """Of the answers that went out, and of those the streamed ones; of the labels.

    `open`: how many streamed answers about a record wait for its outcome. They share that of a request that came first.
    """

    joined: int = 0
    unlabelled: int = 0
    open: Counter[str] = field(default_factory=Counter[str])
    joined_http: int = 0
    before_first_model: int = 0
    revised: int = 0
    unused: Counter[str] = field(default_factory=Counter[str])
    figures: AnswerFigures = field(default_factory=AnswerFigures)
    _waiting: deque[OutcomeMatured | OutcomeRevised] = field(default_factory=deque[OutcomeMatured | OutcomeRevised])

    def take(self, message: Message, model: Model, classes_of: ClassesOf) -> None:
        """Count one accepted event of the topic."""
        match message.event:
            case OutcomeScored(prediction=prediction):
                if _counts(prediction):
                    self.open[prediction.record_id or ""] += 1
            case RecordStreamed(record_id=record_id, status=None):
                self.open[record_id] += 1
            case RecordStreamed(status=LabelStatus() as status):
                self._count(status, 1)
            case OutcomeMatured() as matured:
                self._mature(matured)
                self._waiting.append(matured)
                self.catch_up(model, classes_of)
            case OutcomeRevised() as revised:
                self.revised += 1
                self._waiting.append(revised)
                self.catch_up(model, classes_of)
            case LabelUnused(fate=fate):
                self.unused[fate] += 1
            case _:
                pass

    def catch_up(self, model: Model, classes_of: ClassesOf) -> None:
        """Give figures to the outcomes that came before the control event that explains their version's outputs."""
        while self._waiting:
            answered_by = _answered_by(self._waiting[0])
            classes = () if answered_by is None else classes_of(answered_by)
            if classes is None:
                return
            event = self._waiting.popleft()
            if isinstance(event, OutcomeMatured):
                self._measure(event, model, classes)
            else:
                self._correct(event, model, classes)

    def _mature(self, matured: OutcomeMatured) -> None:
        prediction = matured.prediction
        streamed = self.open.pop(prediction.record_id or "", 0)
        if prediction.answered_by is None:
            self.before_first_model += 1
        elif prediction.origin != "stream":
            self.joined_http += matured.status is not LabelStatus.UNLABELLED
            self._count(matured.status, streamed)
        else:
            # Whoever follows the log from its middle sees outcomes that it did not see scored.
            self._count(matured.status, max(streamed, 1))

    def _count(self, status: LabelStatus, times: int) -> None:
        if status is LabelStatus.UNLABELLED:
            self.unlabelled += times
        else:
            self.joined += times

    def _measure(self, matured: OutcomeMatured, model: Model, classes: Sequence[str]) -> None:
        prediction, value = matured.prediction, None
        if prediction.answered_by is not None:
            said = prediction.outputs.get(prediction.answered_by)
            value = figure(model, classes, said.output, matured.label) if said else None
        self.figures.add(matured.scored_ms, prediction.record_id or "", value)

    def _correct(self, revised: OutcomeRevised, model: Model, classes: Sequence[str]) -> None:
        said = None if revised.answers is None else revised.answers.outputs.get(revised.answers.answered_by or 0)
        if said is not None:
            before, after = (figure(model, classes, said, label) for label in (revised.before, revised.label))
            self.figures.correct(before, after)


def _answered_by(event: OutcomeMatured | OutcomeRevised) -> int | None:
    if isinstance(event, OutcomeMatured):
        return event.prediction.answered_by
    return None if event.answers is None else event.answers.answered_by


def _counts(prediction: PredictionMade) -> bool:
    return prediction.origin == "stream" and prediction.answered_by is not None
