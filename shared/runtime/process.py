"""One process of a service: its tasks, readers and workers, driven turn by turn over the ports to a log.

Both drivers call the same methods: over Kafka in a loop, in the simulation one by one as the scheduler chooses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import wait
from itertools import islice

import structlog

from shared.contracts.control import ReleaseDeclared
from shared.contracts.topics import CONTROL, REJECTED, dead_letters
from shared.contracts.topology import Definitions, TaskSpec
from shared.runtime.control_task import ControlTask
from shared.runtime.copies import Copies
from shared.runtime.followed_logs import FollowedLogs
from shared.runtime.full_disks import DiskFull, FullDisks
from shared.runtime.head_task import HeadTask
from shared.runtime.history import ControlHistory
from shared.runtime.host import Host
from shared.runtime.intake import Intake
from shared.runtime.log import TopicPartition
from shared.runtime.open_files import HAND_OVER_S
from shared.runtime.outside import OutsideWriter
from shared.runtime.owned_tasks import OwnedTasks, Ports
from shared.runtime.ownership import MEMBERSHIP, Alone, Members
from shared.runtime.service import Follower, RawFollower, Service, WakingExecutor
from shared.runtime.table_copies import TableCopies
from shared.runtime.table_starts import TableStarts
from shared.runtime.task import Task
from shared.runtime.topic_ids import TopicIds
from shared.runtime.written_topics import WrittenTopics

log = structlog.get_logger()
FOLDER = "the folder of its tasks"
LARGEST_OUTBOX = 5_000  # beyond it a task's input pauses
# What is not there yet is looked for soon after a change; what is still not there then waits for a person, or longer.
LOOK_SOON_S, LOOK_SOON_FOR_S, LOOK_LATE_S = 0.1, 5.0, 1.0


class Process:
    """`turn` does one round of everything; the finer methods are for a scheduler that interleaves processes."""

    def __init__(self, service: Service, host: Host) -> None:
        self.service, self._host = service, host
        self.broker = host.broker
        self.clock, self.artifacts = host.clock, host.artifacts
        self.instance, self.folder = host.instance, host.folder
        self.history = ControlHistory()
        self.outside = OutsideWriter(f"headrace/{service.name}/{host.instance}", service.name)
        self.reader, self.writer, self.admin = host.broker.reader(), host.broker.writer(), host.broker.admin()
        # Whatever another thread has for this one ends its wait for records.
        self.outside.wake = self.reader.wake
        self.writer.on_answers(self.reader.wake)
        self.executor = WakingExecutor(host.executor, self.reader.wake)
        topic_ids = TopicIds(self.admin)
        ports = Ports(self.reader, self.writer, self.admin, self.executor, topic_ids)
        self.full_disks = FullDisks(host.clock.now_s)
        self.owned = OwnedTasks(service, host, ports, self.history, self._copies, self.full_disks)
        self.topics = WrittenTopics(self.admin)
        self.turns = 0
        self._waiting: dict[str, str] = {}  # which tasks and followed logs are not there yet, and why it matters
        self._membership = host.membership or Alone(host.instance)
        self._members: Members | None = None
        self._declared = False
        self._definitions: Definitions | None = None
        self._bound_files = False
        self._changed_s = self._next_look_s = float("-inf")
        self.followers: list[Follower] = [make(self) for make in service.followers]
        self.raw_followers: list[RawFollower] = [make(self) for make in service.raw_followers]
        starts = TableStarts(
            lambda: TableCopies(self.artifacts, self.history.log_id or ""), self.executor, host.clock.now_s
        )
        self.followed = FollowedLogs(
            service.name, self.followers, self.raw_followers, self.reader, starts, topic_ids,
            lambda: self.intake.decided,
        )  # fmt: skip
        self.intake = Intake(ports, self.history, self.owned, self.followed, host.passed_over)
        self.workers = [make(self) for make in service.workers]

    def _copies(self) -> Copies:
        return Copies(self.artifacts, self.history.log_id or "")

    # --- one round

    def turn(self, wait_s: float, records: int = 10_000) -> bool:
        """One round; whether anything moved, what workers do beside not counted.

        Raises what the ports raise (BrokerAway: call again later).
        """
        # First, for what is missing to be read may be its to make.
        moved = self.reconcile()
        moved |= self.read(wait_s, records)
        for task_id in list(self.tasks):
            moved |= self.advance(task_id, self._host.batch)
        self.work()
        moved |= self.publish()
        self.turns += 1
        return moved

    def read(self, wait_s: float, records: int = 10_000, only: TopicPartition | None = None) -> bool:
        """A part of a round: see Intake."""
        return self.intake.read(wait_s, records, only)

    # --- definitions make tasks

    def reconcile(self) -> bool:
        """Open tasks and followed logs that the newest definitions call for, as soon as their topics are there."""
        definitions = self.history.newest.definitions
        log_id = self.history.log_id
        if log_id is None:
            return False
        if not self._bound_files and not self.full_disks.attempt(FOLDER, lambda: self._bind_files(log_id)):
            return False
        self._declare_release()
        members = self.full_disks.attempt(MEMBERSHIP, self._membership.members)
        changed = definitions is not self._definitions or members != self._members
        waiting = self._waiting or self.intake.waiting or self.owned.waiting
        if not changed and not (waiting and self.clock.now_s() >= self._next_look_s):
            return False
        self._time_next_look(changed)
        # Known only once all is done: what a broker that goes away leaves undone is done by the next call.
        self._definitions = None
        specs = {spec.id: spec for spec in definitions.tasks if spec.service == self.service.name}
        self.intake.waiting.clear()
        before = self.intake.at_work()
        wrong = self._ensure_topics(specs.values(), definitions, changed)
        # A task that is open goes on, or is handed over, as it would.
        able = {task: spec for task, spec in specs.items() if task not in wrong or task in self.tasks}
        self.owned.take_up(able, definitions, members)
        joins = {"group": "this instance joins the others of its service"} if members is None else {}
        self._waiting = {**joins, **wrong, **self.followed.open(self.history.newest, self.admin.partitions)}
        if self.intake.at_work() != self.intake.assigned_for:
            self.intake.assign()
        self._definitions, self._members = definitions, members
        return changed or self.intake.at_work() != before

    def _time_next_look(self, changed: bool) -> None:
        now_s = self.clock.now_s()
        if changed:
            self._changed_s = now_s
        self._next_look_s = now_s + (LOOK_SOON_S if now_s < self._changed_s + LOOK_SOON_FOR_S else LOOK_LATE_S)

    def _ensure_topics(self, specs: Iterable[TaskSpec], definitions: Definitions, changed: bool) -> Mapping[str, str]:
        """Which tasks cannot begin, for a topic that they write is there with other partitions."""
        self.topics.look_again(at_all=changed)
        wrong = {spec.id: why for spec in specs if (why := self.topics.ensure(spec, definitions))}
        for task_id, why in wrong.items():
            if self._waiting.get(task_id) != why:
                log.error(why, task=task_id)
        return wrong

    def _bind_files(self, log_id: str) -> bool:
        self._host.files.bind(log_id)
        self._bound_files = True
        return True

    def _declare_release(self) -> None:
        service, release = self.service.name, self.service.release
        if self._declared or release <= self.history.newest.release(service):
            return
        self._declared = True
        declared = ReleaseDeclared(service=service, release=release)
        event_id = declared.id_in(self.history.log_id or "")
        self.outside.publish(CONTROL, declared, event_id=event_id, time_ms=self.clock.wall_ms())

    # --- tasks

    def advance(self, task_id: str, limit: int) -> bool:
        """Let one task take up to `limit` entries, say what it has seen, and store its cursor."""
        if self.full_disks.rests(task_id):
            return False
        if self.history.newest.definitions is not self._definitions:
            self.reconcile()  # no entry is taken under definitions whose outputs the task does not know yet
        task = self.tasks.get(task_id)
        if task is None:
            return True  # it was let go, and there is more to look at than it
        before = len(task.unsent)
        try:
            moved = self._advance(task, limit)
        except DiskFull as full:
            self.full_disks.full(task_id, full)
            if not isinstance(task, ControlTask):
                self.owned.inputs.bound(TopicPartition(task.spec.topic, task.spec.partition), True)
            return False
        finally:
            self._say_set_aside(task, len(task.unsent) - before)
        self.full_disks.written(task_id)
        return moved

    def _advance(self, task: Task, limit: int) -> bool:
        now_s = self.clock.now_s()
        if isinstance(task, ControlTask):
            moved = task.advance(limit, now_s) > 0
        else:
            moved = self._advance_data(task, limit, now_s)
        if task.rests is not None:
            self.owned.stand_back(task, task.rests)
            self.intake.assign()
            return True
        if isinstance(task, HeadTask):
            tp = TopicPartition(task.spec.topic, task.spec.partition)
            # What was fetched and waits in the backlog is older than the tick: it must not come behind its mark.
            task.observe(
                self.reader.fetch_token,
                lambda token: not self.owned.inputs.waiting(tp) and self.reader.end_reached_since(tp, token),
            )
        moved |= task.say(now_s)
        if not moved and self.owned.relays[task.spec.id].idle:
            task.settle_cursor()
        return moved

    def _advance_data(self, task: Task, limit: int, now_s: float) -> bool:
        tp = TopicPartition(task.spec.topic, task.spec.partition)
        inputs = self.owned.inputs
        full = self.owned.relays[task.spec.id].pending > LARGEST_OUTBOX
        taken = 0
        if inputs.waiting(tp) and not full:
            taken = task.process(inputs.next(tp, limit), now_s)
            inputs.took(tp, taken)
        if isinstance(task, HeadTask) and not inputs.waiting(tp):
            task.pass_to(self.reader.position(tp))
        inputs.bound(tp, full or inputs.waiting(tp) > self._host.batch)
        return taken > 0

    def _say_set_aside(self, task: Task, derived: int) -> None:
        # Only now that they are committed: what a crash undoes is set aside, and said, by the next process.
        topics = (dead_letters(task.spec.service), REJECTED.name)
        for row in [row for row in islice(reversed(task.unsent), derived) if row.topic in topics][::-1]:
            self._host.set_aside(row)

    def work(self) -> None:
        """A turn for each worker."""
        for worker in self.workers:
            worker.turn()
        if self.history.log_id is not None:
            self.owned.copier.turn(self.tasks)

    def publish(self, wait_s: float = 0.0) -> bool:
        """Hand over what is to be sent, and take in what was acknowledged."""
        sent = sum(relay.send() for relay in self.owned.relays.values()) + self.outside.send(self.writer)
        if self.writer.in_flight():
            self.writer.drain(wait_s)
        return sent > 0

    # --- what others may know

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks that are this process's own, by id."""
        return self.owned.tasks

    @property
    def bound_to(self) -> str | None:
        """The log that the files of this process belong to; None while there are none."""
        return self._host.files.bound_to

    @property
    def pending(self) -> int:
        """What this process has taken or decided, and not yet finished: none of it waits for new input."""
        rows = sum(relay.pending for relay in self.owned.relays.values()) + len(self.owned.inputs)
        unsaid = sum(task.unsaid for task in self.tasks.values())
        behind = sum(task.behind for task in self.tasks.values() if isinstance(task, ControlTask))
        ticks = sum(task.awaits_tick for task in self.tasks.values() if isinstance(task, HeadTask))
        return rows + unsaid + behind + ticks + self.outside.pending

    def applied(self) -> Mapping[tuple[str, int], int]:
        """How far each log that is read has been applied: the offset of the next entry."""
        ends = {(tp.topic, tp.partition): task.position for tp, task in self.owned.by_log.items()}
        for tp, position in self.followed.positions.items():
            where = (tp.topic, tp.partition)
            ends[where] = min(ends.get(where, position), position)
        return {(CONTROL.name, 0): self.history.position, **ends}

    def sent(self) -> Mapping[tuple[str, int], int]:
        """How far this process knows each log to reach, from its own acknowledged sends: the offset after the last."""
        ends = dict(self.outside.ends)
        for task in self.tasks.values():
            for where, target in task.targets.items():
                ends[where] = max(ends.get(where, 0), target.acked)
        return ends

    @property
    def membership(self) -> str | None:
        """Under which membership this process owns what it owns."""
        return None if self._members is None else self._members.id

    @property
    def shares(self) -> bool:
        """Whether there may be other instances of the service."""
        return not isinstance(self._membership, Alone)

    @property
    def awaited(self) -> Mapping[str, str]:
        """What this process waits for, by what waits: logs, files, and disks with no room."""
        said = self.intake.waiting, self._waiting, self.owned.waiting, self.followed.refused, self.full_disks.said
        return {what: why for waiting in said for what, why in waiting.items()}

    def runs(self, step: str) -> bool:
        """Whether a task of this step is this process's own."""
        return any(task.spec.step == step for task in self.tasks.values())

    def doing(self) -> list[str]:
        return [text for worker in self.workers for text in worker.doing]

    def close(self) -> None:
        """Stop cleanly: what is acknowledged is stored, tasks are handed over, files and connections are closed."""
        for worker in self.workers:
            worker.close()
        self.followed.close()
        wait(self.owned.close(self._members is not None and len(self._members.names) > 1), timeout=HAND_OVER_S)
        self._membership.leave()
        self.reader.close()
        self.writer.close()
        self.admin.close()
