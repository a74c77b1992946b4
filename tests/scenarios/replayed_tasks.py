"""7, 8 and 9: every task replayed from the start of its input, in other batches, by the services' own steps.

What it derives must be what readers accept from it, and what its file holds must be the state at the file's position.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from services.features.app import build as build_features
from services.ingestion.app import build as build_ingestion
from services.ingestion.settings import IngestionSettings
from services.monitoring.app import build as build_monitoring
from services.monitoring.settings import MonitoringSettings
from services.registry.app import build as build_registry
from services.registry.settings import RegistrySettings
from services.serving.loaded_models import LoadedModels
from services.serving.score import score_step
from services.training.app import build as build_training
from shared.contracts.envelope import Message, decode
from shared.contracts.topics import CONTROL
from shared.contracts.topology import TaskSpec
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.control_task import ControlTask
from shared.runtime.head_task import HeadTask
from shared.runtime.log import TopicPartition
from shared.runtime.step import Step
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests.scenarios.evidence import Evidence, loaded
from tests.scenarios.topic_history import TopicHistory

Derived = dict[TopicPartition, list[Message]]


def steps_of_all(history: TopicHistory, artifacts: ArtifactStore) -> Callable[[], Mapping[str, Step]]:
    """The steps of all services as they build them, by `service/step`; serving's has every version loaded."""
    models = LoadedModels()
    for state in history.newest.models.values():
        for version in state.versions.values():
            models.put(version.artifact.sha256, loaded(artifacts, version.artifact))

    def made() -> Mapping[str, Step]:
        services = (
            build_registry(RegistrySettings()),
            build_ingestion(IngestionSettings()),
            build_features(),
            build_monitoring(MonitoringSettings()),
            build_training(),
        )
        steps = {f"{service.name}/{name}": step for service in services for name, step in service.steps.items()}
        return {**steps, "serving/score": score_step(models)}

    return made


def derived_is_accepted(evidence: Evidence) -> Iterator[str]:
    """7 and 9: the same events, ids and sequences, whatever the batches."""
    for task, derived in _replays(evidence):
        written = _accepted_from(evidence.history, task.spec)
        for tp in derived.keys() | written.keys():
            for place, (again, found) in enumerate(_pairs(derived.get(tp, []), written.get(tp, []))):
                if again is None or found is None or _essence(task, again) != _essence(task, found):
                    where = f"{task.spec.id} to {tp.topic}/{tp.partition}, number {place + 1}"
                    yield f"{where}: {_named(found)} stands there, a replay derives {_named(again)}"
                    break


def state_is_at_position(evidence: Evidence) -> Iterator[str]:
    """8: position, state, timers and sequences of a task's file are those of a replay up to its position."""
    for task, _ in _replays(evidence, to_files=True):
        file = evidence.files.get(task.spec.id)
        if file is None:
            continue
        for what, again, found in (
            ("position", task.file.position, file.position),
            ("state", dict(task.file.states()), dict(file.states())),
            ("timers", sorted(task.file.timers()), sorted(file.timers())),
            ("sequences", _sequences(task.file), _sequences(file)),
            ("accepted", _accepted(task.file), _accepted(file)),
            ("buffers", task.file.buffer_ends(), file.buffer_ends()),
        ):
            if again != found:
                yield f"{task.spec.id}: its file's {what} is not that of a replay up to position {file.position}"


def _sequences(file: TaskFile) -> dict[tuple[str, int], int]:
    return {where: target.sequence for where, target in file.targets().items() if target.sequence}


def _accepted(file: TaskFile) -> dict[str, int]:
    return {task: producer.last for task, producer in file.producers().items()}


def _replays(evidence: Evidence, to_files: bool = False) -> Iterator[tuple[Task, Derived]]:
    if evidence.steps is None:
        return
    steps, draw = evidence.steps(), random.Random("batches of replays")
    for spec in evidence.history.definitions.tasks:
        tp = TopicPartition(spec.topic, spec.partition)
        kept = evidence.files.get(spec.id)
        if tp not in evidence.history.logs or (to_files and kept is None):
            continue
        position = kept.position if to_files and kept else None
        task = _replayed(evidence.history, spec, steps[f"{spec.service}/{spec.step}"], draw, position)
        yield task, _derived(task)
        task.close()


def _replayed(history: TopicHistory, spec: TaskSpec, step: Step, draw: random.Random, position: int | None) -> Task:
    kind = HeadTask if spec.head else ControlTask if spec.topic == CONTROL.name else Task
    task = kind(spec, step, TaskFile(spec.id, None), history.control)
    records = history.logs[TopicPartition(spec.topic, spec.partition)][:position]
    while task.position < len(records):
        batch = records[task.position : task.position + draw.choice((1, 2, 7, 60))]
        if task.process(batch, 0.0) < len(batch):
            raise AssertionError(f"{spec.id} waits in a replay at position {task.position}, where nothing is missing")
    return task


def _derived(task: Task) -> Derived:
    found: Derived = {}
    for row in task.file.outbox():
        if row.topic.endswith(".dead.v1"):
            continue
        entry = decode(row.key, row.value, row.headers)
        if isinstance(entry, Message):
            found.setdefault(TopicPartition(row.topic, row.partition), []).append(entry)
    return found


def _accepted_from(history: TopicHistory, spec: TaskSpec) -> Derived:
    found: Derived = {}
    for output in spec.outputs:
        for partition in spec.targets(output):
            tp = TopicPartition(output.topic, partition)
            reads = (read.message for read in history.accepted(tp) if read.message.source == spec.id)
            found[tp] = [message for message in reads if message.sequence is not None]
    return found


def _pairs(one: list[Message], other: list[Message]) -> Iterator[tuple[Message | None, Message | None]]:
    for n in range(max(len(one), len(other))):
        yield (one[n] if n < len(one) else None), (other[n] if n < len(other) else None)


def _essence(task: Task, message: Message) -> object:
    """All of an event; of a head step's without the control position, which comes from outside."""
    control = None if task.spec.head else message.control
    return message.id, message.sequence, message.time_ms, message.key, message.event, control


def _named(message: Message | None) -> str:
    return "nothing" if message is None else f"{message.event.ce_type} {message.id}"
