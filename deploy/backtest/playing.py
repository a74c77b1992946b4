"""Plays configurations on one stream, and works out what each of their answers cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from deploy.backtest.configuration import Configuration
from deploy.backtest.retrainings import Retraining, retrainings
from deploy.backtest.timed_fits import TimedFits
from deploy.simulation.decision_loop import Course, DecisionLoop, Recorded
from deploy.simulation.remembered_fits import RememberedFits
from services.monitoring.backtest.answer import Say
from services.monitoring.outcome_losses import figures_of_answer, judged
from services.training.policy import pays
from shared.contracts import control as c
from shared.contracts.definitions import Clock, Model, Policy, Published
from shared.contracts.flow import LabelStatus
from shared.contracts.platform import Platform
from shared.contracts.topology import Definitions

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Played:
    """`figures`: by the record's place in the stream, `loss` and each reported metric of an answer that has a label.
    `first`: outcomes decided when the first version was fitted. `paying`: alarms on which a retraining pays; None of a
    policy that does not ask for them."""

    configuration: Configuration
    figures: Mapping[int, Figures]
    first: int
    retrainings: Sequence[Retraining]
    paying: int | None
    cpu_s: float


class Playing:
    """`definitions`: those in force."""

    def __init__(self, definitions: Definitions, stream: Sequence[Recorded], say: Say) -> None:
        self._definitions, self._stream, self._say = definitions, stream, say
        self._remembered = RememberedFits()

    def played(self, configuration: Configuration) -> Played:
        """The whole stream through one configuration."""
        model, name = configuration.model, configuration.name
        self._say(f"{name}: {len(self._stream):,} outcomes")
        fits = TimedFits(
            self._remembered, lambda job: self._say(f"{name}: fitting on {len(job.rows):,} outcomes with a label")
        )
        loop = DecisionLoop(self._published(model), model.name, fits, at_once=configuration.at_once)
        course = loop.play(self._stream)
        return Played(
            configuration,
            figures=self._figures(model, course),
            first=max((asked.position for asked in _bootstraps(course)), default=0),
            retrainings=retrainings(course.events),
            paying=_paying(model, course),
            cpu_s=fits.cpu_s,
        )

    def _published(self, model: Model) -> list[Published]:
        """Time is that of the records, as in a replay, whatever clock the sources had."""
        sources = [
            source.model_copy(update={"time": source.time.model_copy(update={"clock": Clock.EVENTS})})
            for source in self._definitions.sources.values()
        ]
        return [*sources, *self._definitions.views.values(), model]

    def _figures(self, model: Model, course: Course) -> dict[int, Figures]:
        platform = reduce(Platform.after, course.events, Platform())
        found: dict[int, Figures] = {}
        for number, (record, answer) in enumerate(zip(self._stream, course.answers, strict=True)):
            if answer is None or record.label is None:
                continue
            figures = figures_of_answer(model, judged(model, platform, _row(record, *answer), number + 1))
            known = {name: value for name, value in figures.items() if value is not None}
            if len(known) == len(figures):
                found[number] = known
        return found


def _paying(model: Model, course: Course) -> int | None:
    return sum(map(pays, course.of(c.DriftDetected))) if model.retrain.policy is Policy.EVIDENCE else None


def _bootstraps(course: Course) -> list[c.RunRequested]:
    return [asked for asked in course.of(c.RunRequested) if asked.reason is c.RunReason.BOOTSTRAP]


def _row(record: Recorded, version: int, output: tuple[float, ...]) -> dict[str, Any]:
    return {
        "record_id": record.record_id, "due_ms": record.due_ms, "status": LabelStatus.LABELLED, "label": record.label,
        "outputs": {str(version): output}, "answered_by": version,
    }  # fmt: skip
