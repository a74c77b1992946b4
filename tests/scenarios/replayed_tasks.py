"""7, 8 and 9: every task replayed twice from the start of its input, by the services' own steps.

What it derives must be what readers accept from it (7), what its file holds must be the state at the file's position
(8), and a replay in other batches that is killed on its way must end with the same (9).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from weakref import WeakKeyDictionary

from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
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
MakeSteps = Callable[[], Mapping[str, Step]]
LIVES = 3
SMALL, LARGE = (1, 2, 40, 200), (7, 500)  # batches of the two replays


def steps_of_all(history: TopicHistory, artifacts: ArtifactStore) -> MakeSteps:
    """The steps of all services as they build them, by `service/step`; serving's has every version loaded."""
    models = LoadedModels()
    for state in history.newest.models.values():
        for version in state.versions.values():
            models.put(version.artifact.sha256, loaded(artifacts, version.artifact))

    def made() -> Mapping[str, Step]:
        services = (
            build_registry(RegistrySettings()),
            build_ingestion(IngestionSettings()),
            build_features(FeaturesSettings()),
            build_monitoring(MonitoringSettings()),
            build_training(),
        )
        steps = {f"{service.name}/{name}": step for service in services for name, step in service.steps.items()}
        return {**steps, "serving/score": score_step(models)}

    return made


def derived_is_accepted(evidence: Evidence) -> Iterator[str]:
    """7: what readers accept from a task is what its replay derives, whatever the batches."""
    yield from _found(evidence).other_events


def state_is_at_position(evidence: Evidence) -> Iterator[str]:
    """8: position, state, timers and sequences of a task's file are those of a replay up to its position."""
    yield from _found(evidence).other_files


def replays_agree(evidence: Evidence) -> Iterator[str]:
    """9: a replay in other batches, killed on its way, gives the same events, ids, sequences and state hash."""
    yield from _found(evidence).other_replays


@dataclass
class Found:
    """What replays say, of all tasks: from the log (7), from the files (8), from each other (9)."""

    other_events: list[str] = field(default_factory=list[str])
    other_files: list[str] = field(default_factory=list[str])
    other_replays: list[str] = field(default_factory=list[str])


_FOUND: WeakKeyDictionary[Evidence, Found] = WeakKeyDictionary()


def _found(evidence: Evidence) -> Found:
    """Each task is replayed once for all three."""
    if evidence not in _FOUND:
        _FOUND[evidence] = found = Found()
        for spec in evidence.history.definitions.tasks:
            if evidence.steps and TopicPartition(spec.topic, spec.partition) in evidence.history.logs:
                _replay(evidence, evidence.steps, spec, found)
    return _FOUND[evidence]


def _replay(evidence: Evidence, steps: MakeSteps, spec: TaskSpec, found: Found) -> None:
    history, draw = evidence.history, random.Random(f"batches of {spec.id}")
    end, kept = len(history.logs[TopicPartition(spec.topic, spec.partition)]), evidence.files.get(spec.id)
    task = _started(history, steps, spec, TaskFile(spec.id, None))
    if kept is not None:
        _go_on(history, task, min(kept.position, end), draw, SMALL)
        for what, again in _held(task.file).items():
            if again != _held(kept)[what]:
                where = f"a replay up to position {kept.position}"
                found.other_files.append(f"{spec.id}: its file's {what} is not that of {where}")
    _go_on(history, task, end, draw, SMALL)
    killed = _started(history, steps, spec, TaskFile(spec.id, None))
    for life in range(1, LIVES + 1):
        _go_on(history, killed, end * life // LIVES, draw, LARGE)
        killed = _started(history, steps, spec, killed.file)
    derived, again = _derived(task), _derived(killed)
    differs = _first_difference(spec, derived, _accepted_from(history, spec))
    if differs:
        found.other_events.append(f"{differs}: a replay derives the first, the second stands there")
    differs = _first_difference(spec, derived, again)
    if differs or _state_hash(task.file) != _state_hash(killed.file):
        found.other_replays.append(f"{differs or spec.id + ', its state'}: two replays differ")
    task.close()
    killed.close()


def _started(history: TopicHistory, steps: MakeSteps, spec: TaskSpec, file: TaskFile) -> Task:
    """The task as a new process has it: with nothing but its file."""
    kind = HeadTask if spec.head else ControlTask if spec.topic == CONTROL.name else Task
    return kind(spec, steps()[f"{spec.service}/{spec.step}"], file, history.control)


def _go_on(history: TopicHistory, task: Task, end: int, draw: random.Random, sizes: Sequence[int]) -> None:
    records = history.logs[TopicPartition(task.spec.topic, task.spec.partition)][:end]
    while task.position < len(records):
        batch = records[task.position : task.position + draw.choice(sizes)]
        if task.process(batch, 0.0) < len(batch):
            where = f"position {task.position}"
            raise AssertionError(f"{task.spec.id} waits in a replay at {where}, where nothing is missing")


def _held(file: TaskFile) -> dict[str, object]:
    return {
        "position": file.position,
        "state": dict(file.states()),
        "timers": sorted(file.timers()),
        "sequences": {where: target.sequence for where, target in file.targets().items() if target.sequence},
        "accepted": {task: producer.last for task, producer in file.producers().items()},
        "buffers": file.buffer_ends(),
    }


def _state_hash(file: TaskFile) -> str:
    held = ((what, sorted(one.items()) if isinstance(one, dict) else one) for what, one in _held(file).items())
    return sha256(repr(list(held)).encode()).hexdigest()


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


def _first_difference(spec: TaskSpec, one: Derived, other: Derived) -> str:
    """Where, and what stands there in each; empty if they are the same."""
    for tp in sorted(one.keys() | other.keys()):
        for place, (a, b) in enumerate(zip_longest(one.get(tp, []), other.get(tp, [])), 1):
            if a is None or b is None or _essence(spec, a) != _essence(spec, b):
                return f"{spec.id} to {tp.topic}/{tp.partition}, number {place}, {_named(a)} and {_named(b)}"
    return ""


def _essence(spec: TaskSpec, message: Message) -> object:
    """All of an event; of a head step's without the control position, which comes from outside."""
    control = None if spec.head else message.control
    return message.id, message.sequence, message.time_ms, message.key, message.event, message.trace, control


def _named(message: Message | None) -> str:
    return "nothing" if message is None else f"{message.event.ce_type} {message.id}"
