"""Which tasks the definitions call for: what each reads, what it may write, and so who may write a log.

A task is one step of a service on one input partition. Its id names both and nothing else, so that it is the same in
every process and every replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from shared.contracts.definitions import Clock, FeatureView, Model, Source
from shared.contracts.stages import Stage, stages_of
from shared.contracts.topics import CONTROL, FEATURES, INTAKE, JOINS, OUTCOMES, PREDICTIONS, RECORDS, REJECTED, SCORING


@dataclass(frozen=True, slots=True)
class Output:
    """A topic that a task may write. `keeps`: only the partition of its input; otherwise any."""

    topic: str
    partitions: int
    keeps: bool
    marked: bool = True


@dataclass(frozen=True, slots=True)
class TaskSpec:
    service: str
    step: str
    subject: str
    topic: str
    partition: int
    outputs: tuple[Output, ...]
    head: bool = False

    @property
    def id(self) -> str:
        return f"{self.service}/{self.step}/{self.topic}/{self.partition}"

    @property
    def decides(self) -> bool:
        """Whether it writes `control.v1`, whose order is that of its own input."""
        return any(output.topic == CONTROL.name for output in self.outputs)

    def targets(self, output: Output) -> Iterable[int]:
        return (self.partition,) if output.keeps else range(output.partitions)


@dataclass(frozen=True)
class Definitions:
    """The definitions in force, by name."""

    sources: Mapping[str, Source]
    views: Mapping[str, FeatureView]
    models: Mapping[str, Model]

    def models_on(self, source: str) -> list[Model]:
        return [m for m in self.models.values() if m.scores == source]

    def models_labelled_by(self, source: str) -> list[Model]:
        return [m for m in self.models.values() if m.label.source == source]

    def views_on(self, source: str) -> list[FeatureView]:
        return [v for v in self.views.values() if v.source == source]

    def with_applied(self, applied: Iterable[Source | FeatureView | Model]) -> Definitions:
        sources, views, models = dict(self.sources), dict(self.views), dict(self.models)
        for definition in applied:
            if isinstance(definition, Source):
                sources[definition.name] = definition
            elif isinstance(definition, FeatureView):
                views[definition.name] = definition
            else:
                models[definition.name] = definition
        return Definitions(sources, views, models)

    @cached_property
    def ways(self) -> Mapping[str, tuple[Stage, ...]]:
        """By source: the logs through which its records go in features, its own first."""
        return {s.name: stages_of(s, self.views_on(s.name), self.models_on(s.name)) for s in self.sources.values()}

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """All stages of all ways, by the subject of the tasks that read their logs."""
        return {stage.subject: stage for way in self.ways.values() for stage in way}

    @cached_property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """Every task of the platform, the same wherever it is computed."""
        return (
            *_control_tasks(),
            *(t for s in self.sources.values() for t in _source_tasks(self, s)),
            *(t for m in self.models.values() for t in _model_tasks(self, m)),
        )

    @cached_property
    def partitions(self) -> Mapping[str, int]:
        """The partition count of every topic that a task reads or writes."""
        counts = {CONTROL.name: 1}
        for source in self.sources.values():
            counts[source.topic_name] = source.partitions
        for task in self.tasks:
            for output in task.outputs:
                counts[output.topic] = output.partitions
        return counts

    @cached_property
    def writers(self) -> Mapping[tuple[str, int], frozenset[str]]:
        """For each topic and partition, the tasks that may write it: a watermark is the lowest of all of theirs."""
        found: dict[tuple[str, int], set[str]] = {}
        for task in self.tasks:
            for output in task.outputs:
                for partition in task.targets(output) if output.marked else ():
                    found.setdefault((output.topic, partition), set()).add(task.id)
        return {where: frozenset(tasks) for where, tasks in found.items()}


NO_DEFINITIONS = Definitions({}, {}, {})
_TO_CONTROL = Output(CONTROL.name, 1, keeps=False, marked=False)
_REJECTS = Output(REJECTED.name, 1, keeps=False, marked=False)


def _control_tasks() -> Iterable[TaskSpec]:
    yield TaskSpec("registry", "decide", "platform", CONTROL.name, 0, (_TO_CONTROL,))
    yield TaskSpec("training", "schedule", "platform", CONTROL.name, 0, (_TO_CONTROL,))


def _source_tasks(definitions: Definitions, source: Source) -> Iterable[TaskSpec]:
    name, n = source.name, source.partitions
    intake, records = INTAKE.of(name).name, RECORDS.of(name).name
    joins = tuple(
        Output(JOINS.of(m.name).name, definitions.sources[m.scores].partitions, keeps=False)
        for m in definitions.models_labelled_by(name)
    )
    for p in range(n):
        yield TaskSpec(
            "ingestion", "intake", name, source.topic_name, p, (Output(intake, n, keeps=False), _REJECTS), head=True
        )
        yield TaskSpec("ingestion", "accept", name, intake, p, (Output(records, n, keeps=True), _REJECTS))
        if joins:
            yield TaskSpec("monitoring", "key_labels", name, records, p, joins)
    for stage in definitions.ways[name]:
        yield from _stage_tasks(stage, is_own=stage.subject == name)


def _stage_tasks(stage: Stage, *, is_own: bool) -> Iterable[TaskSpec]:
    """A model's inputs go to the partition of the record's key, which in its own log is the one that they come from."""
    n = stage.source.partitions
    scoring = (Output(SCORING.of(m.name).name, n, keeps=is_own) for m in stage.models)
    views = (Output(FEATURES.of(v.name).name, n, keeps=True, marked=False) for v in stage.views)
    onward = (Output(stage.next.topic.name, n, keeps=False),) if stage.next else ()
    outputs = (*scoring, *views, *onward)
    for p in range(n) if outputs else ():
        yield TaskSpec("features", "compute", stage.subject, stage.topic.name, p, outputs)


def _model_tasks(definitions: Definitions, model: Model) -> Iterable[TaskSpec]:
    n = definitions.sources[model.scores].partitions
    name = model.name
    predictions = Output(PREDICTIONS.of(name).name, n, keeps=True)
    joins = Output(JOINS.of(name).name, n, keeps=False)
    outcomes = Output(OUTCOMES.of(name).name, 1, keeps=False)
    for p in range(n):
        yield TaskSpec("serving", "score", name, SCORING.of(name).name, p, (predictions,))
        yield TaskSpec("monitoring", "key_predictions", name, predictions.topic, p, (joins,))
        yield TaskSpec("monitoring", "join", name, joins.topic, p, (outcomes,))
    yield TaskSpec("monitoring", "judge", name, outcomes.topic, 0, (_TO_CONTROL,))


def clock_of(definitions: Definitions, source: str) -> str:
    """The name under which ticks of a source's clock are kept: `wall`, or the source itself."""
    return "wall" if definitions.sources[source].time.clock is Clock.WALL else source
