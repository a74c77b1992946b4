"""The tasks that a process owns: opened from their files, let go to another instance, passed on to a later release."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import structlog

from shared.contracts.topics import CONTROL
from shared.contracts.topology import Definitions, TaskSpec
from shared.runtime.control_task import ControlTask
from shared.runtime.copier import Copier
from shared.runtime.copies import Copies
from shared.runtime.full_disks import DiskFull, FullDisks
from shared.runtime.head_task import HeadTask
from shared.runtime.history import ControlHistory
from shared.runtime.host import Host
from shared.runtime.log import Admin, Reader, TopicPartition, Writer
from shared.runtime.lost_records import ReplacedTopic
from shared.runtime.open_files import OpenFiles
from shared.runtime.ownership import Members
from shared.runtime.relay import Relay
from shared.runtime.service import Executor, Service
from shared.runtime.step import OtherRelease, Wait
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from shared.runtime.task_inputs import TaskInputs
from shared.runtime.topic_ids import TopicIds

log = structlog.get_logger()
LOOK_EARLY_EVERY_S = 1.0  # whether an earlier release has brought a task to where this one begins


@dataclass(frozen=True, slots=True)
class Ports:
    """A process's own connections to the broker, and where its jobs run."""

    reader: Reader
    writer: Writer
    admin: Admin
    executor: Executor
    topic_ids: TopicIds


@dataclass(frozen=True, slots=True)
class _Early:
    """A task that an earlier release has still to bring on: where it stood, and when its copies are looked at again."""

    position: int
    why: str
    look_s: float


class OwnedTasks:
    """By id; those that read a log, by that log too."""

    def __init__(
        self,
        service: Service,
        host: Host,
        ports: Ports,
        history: ControlHistory,
        copies: Callable[[], Copies],
        full_disks: FullDisks,
    ) -> None:
        self._service, self._host, self._ports, self._history = service, host, ports, history
        self._full_disks = full_disks
        self.tasks: dict[str, Task] = {}
        self.relays: dict[str, Relay] = {}
        self.by_log: dict[TopicPartition, Task] = {}
        self.inputs = TaskInputs(ports.reader)
        self.copier = Copier(copies, ports.executor, host.clock.now_s, host.copy_every_s)
        self._opener = OpenFiles(host.files, copies, ports.executor, host.clock.now_s)
        self._waiting: dict[str, str] = {}
        self._early: dict[str, _Early] = {}
        self._refused: dict[str, str] = {}  # tasks that stand still until the process is started again, and why
        self._passed_on: dict[str, Future[None]] = {}  # tasks that a later release goes on with, and their last copies

    @property
    def waiting(self) -> Mapping[str, str]:
        """Which tasks are not there yet, and why."""
        early = {task_id: early.why for task_id, early in self._early.items()}
        return {**early, **self._refused, **self._waiting}

    @property
    def passed_on(self) -> Collection[str]:
        """Tasks that a later release goes on with, from the last copy that this process made or makes of them."""
        return self._passed_on.keys()

    def take_up(self, specs: Mapping[str, TaskSpec], definitions: Definitions, members: Members | None) -> None:
        """Open what is this instance's, and let go what is not. `members`: None while nobody knows who is there."""
        self._waiting = {}
        for task_id, spec in specs.items():
            if self._is_passed_on(spec):
                continue
            if members is None or members.owner(spec, definitions) != self._host.instance:
                self._let_go(spec, members)
            elif task_id in self._refused:
                continue
            elif task_id not in self.tasks:
                self._try_to_open(spec, definitions, members)
            elif self.tasks[task_id].spec != spec:
                self.tasks[task_id].spec = spec
                self.tasks[task_id].forget_said()

    def stand_back(self, task: Task, other: OtherRelease) -> None:
        """The next entry is for other code: a later release goes on from here, or an earlier one has to come here."""
        task_id = task.spec.id
        if other.shown > other.own:
            log.info("a later release goes on with the task", task=task_id, position=task.position, release=other.shown)
            self._passed_on[task_id] = self._hand_over(task, f"release {other.shown}")
            self._waiting[task_id] = "its last copy is made"
        else:
            self._early[task_id] = _Early(task.position, str(other), self._host.clock.now_s() + LOOK_EARLY_EVERY_S)
            self._close(task)
        self._forget(task)

    def begin_anew(self, tp: TopicPartition) -> bool:
        """The log has lost what its task was to begin with. True: it has read nothing yet, and begins once more."""
        task = self.by_log.get(tp)
        if task is None or task.position != task.file.meta("began"):
            return False
        self._begin_again(task, "its log has lost what it was to begin with; it begins anew")
        return True

    def refuse(self, topic: str) -> None:
        """The topic is another than the one that was read: its tasks stand still. Who has read nothing begins anew."""
        for task in [task for tp, task in self.by_log.items() if tp.topic == topic]:
            if task.file.is_new:
                self._begin_again(task, f"its topic {topic} was made anew, and it begins anew")
                continue
            self._close(task)
            self._forget(task)
            self._refuse(task.spec, ReplacedTopic(task.spec.id, topic, task.position))

    def _begin_again(self, task: Task, why: str) -> None:
        self._close(task)
        self._forget(task)
        self._waiting[task.spec.id] = why

    def _refuse(self, spec: TaskSpec, replaced: ReplacedTopic) -> None:
        log.error(str(replaced), error=type(replaced).__name__, task=spec.id)
        self._refused[spec.id] = str(replaced)

    def close(self, shared: bool) -> list[Future[None]]:
        """Close all, and hand it over where the work is `shared` with other instances; the copies that are made."""
        self._opener.close()
        copies = list(self._passed_on.values())
        for task in self.tasks.values():
            if shared:
                copies.append(self._hand_over(task, "left"))
            else:
                self._close(task)
        return copies

    def _is_passed_on(self, spec: TaskSpec) -> bool:
        copy = self._passed_on.get(spec.id)
        if copy is None:
            return False
        if not copy.done():
            self._waiting[spec.id] = "its last copy is made"
        elif copy.exception() is not None:
            del self._passed_on[spec.id]  # the file is here only: opened again, it is copied again
            return False
        return True

    def _let_go(self, spec: TaskSpec, members: Members | None) -> None:
        """The task is another instance's. What it has not sent, the other one sends."""
        self._opener.forget(spec.id)
        self._full_disks.forget(spec.id)
        self._early.pop(spec.id, None)
        self._refused.pop(spec.id, None)
        task = self.tasks.get(spec.id)
        if task is None:
            return
        if members is None:
            self._close(task)
        else:
            self._hand_over(task, members.id)
        self._forget(task)

    def _hand_over(self, task: Task, membership: str) -> Future[None]:
        self._store_cursor(task)
        copy = self.copier.hand_over(task, membership)
        task.close()
        return copy

    def _close(self, task: Task) -> None:
        self._store_cursor(task)
        task.close()

    def _store_cursor(self, task: Task) -> None:
        with suppress(DiskFull):  # what is not stored is done again by whoever goes on
            task.settle_cursor()

    def _forget(self, task: Task) -> None:
        spec = task.spec
        del self.tasks[spec.id], self.relays[spec.id]
        self._full_disks.forget(spec.id)
        if not isinstance(task, ControlTask):
            tp = TopicPartition(spec.topic, spec.partition)
            del self.by_log[tp]
            self.inputs.close(tp)

    def _try_to_open(self, spec: TaskSpec, definitions: Definitions, members: Members) -> None:
        if self._full_disks.rests(spec.id):
            self._waiting[spec.id] = self._full_disks.said[spec.id]
            return
        try:
            self._open(spec, definitions, members)
        except Wait as wait:
            self._waiting[spec.id] = str(wait)
        except DiskFull as full:
            self._full_disks.full(spec.id, full)
            self._waiting[spec.id] = str(full)
        except ReplacedTopic as replaced:
            self._refuse(spec, replaced)

    def _open(self, spec: TaskSpec, definitions: Definitions, members: Members) -> None:
        if self._ports.admin.partitions(spec.topic) is None:
            self._waiting[spec.id] = f"topic {spec.topic} does not exist yet"
            return
        early = self._early.get(spec.id)
        if early is not None and self._host.clock.now_s() < early.look_s:
            return
        former = members.former_owner(spec, definitions)
        file = self._opener.open(spec.id, members.id if former not in (None, self._host.instance) else None)
        kind = HeadTask if spec.head else ControlTask if spec.topic == CONTROL.name else Task
        tp = TopicPartition(spec.topic, spec.partition)
        task = self._task(spec, file, kind, tp)
        if early is not None and task.position > early.position:
            del self._early[spec.id]
        self._full_disks.written(spec.id)
        self.tasks[spec.id] = task
        self.relays[spec.id] = Relay(task, self._ports.writer)
        if kind is not ControlTask:
            self.by_log[tp] = task
            self.inputs.open(tp)

    def _task(self, spec: TaskSpec, file: TaskFile, kind: type[Task], tp: TopicPartition) -> Task:
        with ExitStack() as on_failure:
            on_failure.callback(file.close)
            file.bind(self._history.log_id or "")
            if not file.bind_topic(self._ports.topic_ids.begin(spec.topic)):
                raise ReplacedTopic(spec.id, spec.topic, file.position)
            if kind is not ControlTask and file.is_new and (begins := self._ports.reader.beginning(tp)) > file.position:
                file.begin_at(begins)  # any other file goes on where it stands, or not at all: see RecordsExpired
            task = kind(
                spec, self._service.steps[spec.step], file, self._history,
                largest_event_bytes=self._host.largest_event_bytes, release=self._service.release,
            )  # fmt: skip
            on_failure.pop_all()
        return task
