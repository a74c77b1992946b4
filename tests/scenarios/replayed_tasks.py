"""7, 8 and 9: every task replayed twice from the start of its input, by the services' own steps.

What it derives must be what readers accept from it (7), what its file holds must be the state at the file's position
(8), and a replay in other batches that is killed on its way must end with the same (9), as must one from any copy of
its file: each that is kept holds the state at its position.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from weakref import WeakKeyDictionary

import zstandard

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
from shared.contracts.envelope import MARK_TYPE, NEVER_MS, Message, decode
from shared.contracts.topics import CONTROL
from shared.contracts.topology import TaskSpec
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.control_task import ControlTask
from shared.runtime.copies import Copies
from shared.runtime.head_task import HeadTask
from shared.runtime.log import LogRecord, TopicPartition
from shared.runtime.sqlite_files import in_memory
from shared.runtime.step import Step
from shared.runtime.task import Task
from shared.runtime.task_file import OutboxRow, TaskFile
from tests.scenarios.evidence import Evidence, loaded
from tests.scenarios.topic_history import LETTERS, TopicHistory

Derived = dict[TopicPartition, list[OutboxRow | LogRecord]]
MakeSteps = Callable[[], Mapping[str, Step]]  # by `service/step`; a later release's by `service/step@release`
LIVES = 3
MARK = MARK_TYPE.encode()
SMALL, LARGE = (1, 2, 40, 200), (7, 500)  # batches of the two replays


def steps_of_all(history: TopicHistory, artifacts: ArtifactStore) -> MakeSteps:
    """The steps of all services as they build them, by `service/step`; serving's has every version loaded."""
    models = LoadedModels()
    for state in history.newest.models.values():
        for version in state.versions.values():
            models.put(version.artifact.sha256, loaded(artifacts, version.artifact))

    registry, ingestion, monitoring = RegistrySettings(), IngestionSettings(), MonitoringSettings()
    features = FeaturesSettings()

    def made() -> Mapping[str, Step]:
        services = (
            build_registry(registry),
            build_ingestion(ingestion),
            build_features(features),
            build_monitoring(monitoring),
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
    """9: a replay in other batches, killed on its way, gives the same events, ids, sequences and state hash.

    So does one from a copy: what each copy in the store holds is what a replay holds at its position.
    """
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


@dataclass
class _Replay:
    """A task that is replayed, and what it had to publish, by its place in the outbox."""

    task: Task
    published: dict[int, OutboxRow] = field(default_factory=dict[int, OutboxRow])

    def publish(self) -> None:
        """Take what a relay would send, and acknowledge it: the file stays small, as that of a live task does."""
        rows = self.task.unsent
        if rows:
            self.published.update((row.ordinal, row) for row in rows)
            self.task.acknowledged(rows[-1].ordinal, rows[-1].topic, rows[-1].partition, 0)
            rows.clear()


def _replay(evidence: Evidence, steps: MakeSteps, spec: TaskSpec, found: Found) -> None:
    history, draw = evidence.history, random.Random(f"batches of {spec.id}")
    end, kept = len(history.logs[TopicPartition(spec.topic, spec.partition)]), evidence.files.get(spec.id)
    whole = _Replay(_started(history, steps, spec, TaskFile(spec.id, None)))
    stood = [_Stood("its file", kept.position, _held(spec, kept))] if kept is not None else []
    for one in sorted([*stood, *_copies(evidence, spec)], key=lambda one: one.position):
        _go_on(history, steps, whole, min(one.position, end), draw, SMALL)
        for what, again in _held(spec, whole.task.file).items():
            if again != one.held[what]:
                said = f"{spec.id}: {one.name}'s {what} is not that of a replay up to position {one.position}"
                (found.other_files if one.name == "its file" else found.other_replays).append(said)
    _go_on(history, steps, whole, end, draw, SMALL)
    killed = _Replay(_started(history, steps, spec, TaskFile(spec.id, None)))
    for life in range(1, LIVES + 1):
        _go_on(history, steps, killed, end * life // LIVES, draw, LARGE)
        if life < LIVES:
            killed.task = _started(history, steps, spec, killed.task.file)
    derived, again = _derived(whole), _derived(killed)
    differs = _first_difference(spec, derived, _accepted_from(history, spec))
    if differs:
        found.other_events.append(f"{differs}: a replay derives the first, the second stands there")
    differs = _first_difference(spec, derived, again)
    if differs or _state_hash(spec, whole.task.file) != _state_hash(spec, killed.task.file):
        found.other_replays.append(f"{differs or spec.id + ', its state'}: two replays differ")
    whole.task.close()
    killed.task.close()


def _started(history: TopicHistory, steps: MakeSteps, spec: TaskSpec, file: TaskFile) -> Task:
    """The task as a new process has it: with nothing but its file."""
    kind = HeadTask if spec.head else ControlTask if spec.topic == CONTROL.name else Task
    release = history.control.at(int(file.meta("control") or 0)).release(spec.service)
    return kind(spec, _step(spec, release, steps), file, history.control, release=release)


def _run_by(task: Task, release: int, steps: MakeSteps) -> None:
    """The next release's code takes the task over."""
    task.step, task.release, task.rests = _step(task.spec, release, steps), release, None


def _step(spec: TaskSpec, release: int, steps: MakeSteps) -> Step:
    name = f"{spec.service}/{spec.step}"
    return steps()[name if release == 1 or spec.head else f"{name}@{release}"]


def _go_on(
    history: TopicHistory, steps: MakeSteps, replay: _Replay, end: int, draw: random.Random, sizes: Sequence[int]
) -> None:
    task = replay.task
    records = history.logs[TopicPartition(task.spec.topic, task.spec.partition)][:end]
    while task.position < len(records):
        batch = records[task.position : task.position + draw.choice(sizes)]
        if task.process(batch, 0.0) < len(batch):
            if task.rests is not None and task.rests.shown > task.release:
                _run_by(task, task.rests.shown, steps)
                continue
            where = f"position {task.position}"
            raise AssertionError(f"{task.spec.id} waits in a replay at {where}, where nothing is missing")
        replay.publish()


@dataclass(frozen=True, slots=True)
class _Stood:
    """What a file, or a copy of one, holds at a position of the task's log."""

    name: str
    position: int
    held: Mapping[str, object]


def _copies(evidence: Evidence, spec: TaskSpec) -> Iterator[_Stood]:
    """Those that the store keeps."""
    if evidence.artifacts is None:
        return
    folder = Copies(evidence.artifacts, evidence.history.newest.log_id or "").folder(spec.id)
    for uri in evidence.artifacts.names(folder):
        file = TaskFile(spec.id, None, in_memory(zstandard.decompress(evidence.artifacts.read(uri))))
        position = int(uri.rpartition("/")[2].partition("-")[0])
        yield _Stood(f"its copy at {position}", position, _held(spec, file))
        file.close()


def _held(spec: TaskSpec, file: TaskFile) -> dict[str, object]:
    """What the log up to the file's position determines.

    Not so: what was sent and acknowledged until then (the outbox, its ordinals, offsets), which marks stand between,
    and which rows of buffers are archived and gone. A head's watermark and control position come from outside.
    """
    producers = file.producers()
    held: dict[str, object] = {
        "position": file.position,
        "state": dict(file.states()),
        "timers": sorted(file.timers()),
        "sequences": {where: target.sequence for where, target in file.targets().items() if target.sequence},
        "accepted": {task: producer.last for task, producer in producers.items()},
        "buffers": file.buffer_ends(),
        "replayed letters": sorted(file.replays()),
    }
    if spec.head:
        return held
    return {
        **held,
        "control position": int(file.meta("control") or 0),
        "watermark": file.meta("watermark_ms") or NEVER_MS,
        "promises of writers": {
            task: (producer.watermark_ms, producer.control) for task, producer in producers.items()
        },
    }


def _state_hash(spec: TaskSpec, file: TaskFile) -> str:
    found = sha256()
    for what, one in _held(spec, file).items():
        found.update(repr((what, sorted(one.items()) if isinstance(one, dict) else one)).encode())
    return found.hexdigest()


def _derived(replay: _Replay) -> Derived:
    """The events of each log in their order, without marks and dead letters."""
    found: Derived = {}
    for _, row in sorted(replay.published.items()):
        if not row.topic.endswith(LETTERS) and dict(row.headers).get("ce_type") != MARK:
            found.setdefault(TopicPartition(row.topic, row.partition), []).append(row)
    return found


def _accepted_from(history: TopicHistory, spec: TaskSpec) -> Derived:
    found: Derived = {}
    for output in spec.outputs:
        for partition in spec.targets(output):
            tp = TopicPartition(output.topic, partition)
            log = history.logs.get(tp, [])
            reads = (read for read in history.accepted(tp) if read.message.source == spec.id)
            found[tp] = [log[read.offset - log[0].offset] for read in reads if read.message.sequence is not None]
    return found


def _first_difference(spec: TaskSpec, one: Derived, other: Derived) -> str:
    """Where, and what stands there in each; empty if they are the same."""
    for tp in sorted(one.keys() | other.keys()):
        for place, (a, b) in enumerate(zip_longest(one.get(tp, []), other.get(tp, [])), 1):
            if a is None or b is None or not _same(spec, a, b):
                return f"{spec.id} to {tp.topic}/{tp.partition}, number {place}, {_named(a)} and {_named(b)}"
    return ""


def _same(spec: TaskSpec, one: OutboxRow | LogRecord, other: OutboxRow | LogRecord) -> bool:
    if (one.key, one.value, one.headers) == (other.key, other.value, other.headers):
        return True
    a, b = _message(one), _message(other)
    return a is not None and b is not None and _essence(spec, a) == _essence(spec, b)


def _message(row: OutboxRow | LogRecord) -> Message | None:
    entry = decode(row.key, row.value, row.headers)
    return entry if isinstance(entry, Message) else None


def _essence(spec: TaskSpec, message: Message) -> object:
    """All of an event; of a head step's without the control position, which comes from outside."""
    control = None if spec.head else message.control
    return message.id, message.sequence, message.time_ms, message.key, message.event, message.trace, control


def _named(row: OutboxRow | LogRecord | None) -> str:
    message = None if row is None else _message(row)
    return "nothing" if message is None else f"{message.event.ce_type} {message.id}"
