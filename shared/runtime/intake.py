"""What a process takes in: it fetches its logs into the backlogs of tasks and to those who follow them.

Nothing is taken in that is not what follows what was read: of another topic, behind a hole, or damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from shared.contracts.topics import CONTROL
from shared.contracts.topology import Definitions
from shared.runtime.control_task import ControlTask
from shared.runtime.followed_logs import FollowedLogs
from shared.runtime.history import ControlHistory
from shared.runtime.log import DamagedBatch, LogError, LogRecord, OffsetOutOfRange, TopicPartition
from shared.runtime.lost_records import DamagedLog, RecordsExpired, ReplacedTopic, require_whole
from shared.runtime.owned_tasks import OwnedTasks, Ports

CONTROL_TP = TopicPartition(CONTROL.name, 0)


class Intake:
    """`waiting`: which logs are not there yet, and why it matters.

    `decided`: whether control.v1 was read to the end that it had when the process began.
    """

    def __init__(
        self, ports: Ports, history: ControlHistory, owned: OwnedTasks, followed: FollowedLogs,
        passed_over: Callable[[DamagedBatch], None],
    ) -> None:  # fmt: skip
        self._history, self._owned, self._followed = history, owned, followed
        self._reader, self._admin, self._topic_ids = ports.reader, ports.admin, ports.topic_ids
        self._passed_over = passed_over
        self.waiting: dict[str, str] = {}
        self.decided = False
        self.assigned_for: tuple[Set[str], int] | None = None  # tasks, and how many logs are followed
        self._users: tuple[Definitions | None, Set[str]] = (None, frozenset())
        self._peak_lag: dict[str, int] = {}
        self._control_open = False
        self._control_opened = 0  # which fetch came next when control.v1 was opened

    def read(self, wait_s: float, records: int = 10_000, only: TopicPartition | None = None) -> bool:
        """Fetch into the backlogs, and take in the control log. `only`: nothing but this log."""
        if not self._control_open and not self._open_control():
            return False
        try:
            polled = self._poll(wait_s, records, only)
        except OffsetOutOfRange as gone:
            self._begin_anew(gone)
            return True
        for damage in self._reader.take_damaged():
            self._pass_over(damage)
        came = bool(polled)
        self._leave_out_replaced(polled)
        for record in polled.pop(CONTROL_TP, ()):
            self._history.append(record)
        for tp, fetched in polled.items():
            self._require_whole(tp, fetched)
            if tp in self._followed:
                self._followed.take(tp, fetched, self._history.newest)
            if tp in self._owned.by_log:
                self._owned.inputs.add(tp, fetched)
                task_id = self._owned.by_log[tp].spec.id
                self._peak_lag[task_id] = max(self._peak_lag.get(task_id, 0), self.lag(task_id))
        self.decided = self.decided or self._reader.end_reached_since(CONTROL_TP, self._control_opened)
        self._followed.note_ends()
        return came

    def _poll(self, wait_s: float, records: int, only: TopicPartition | None) -> dict[TopicPartition, list[LogRecord]]:
        if only is None:
            return self._reader.poll(wait_s, records)
        others = [tp for tp in self._assigned() if tp != only and tp not in self._owned.inputs.paused]
        self._reader.pause(others)
        try:
            return self._reader.poll(wait_s, records)
        finally:
            self._reader.resume(others)

    def _leave_out_replaced(self, polled: dict[TopicPartition, list[LogRecord]]) -> None:
        """Nothing is taken in of a topic that is another than the one that was read. Raises as `_refuse_replaced`."""
        if self._reader.take_interrupted():
            self._topic_ids.doubt()
        try:
            replaced = self._refuse_replaced({tp.topic for tp in polled})
        except LogError:
            for tp, fetched in polled.items():
                self._reader.seek(tp, fetched[0].offset)
            raise
        for tp in [tp for tp in polled if tp.topic in replaced]:
            del polled[tp]

    def _refuse_replaced(self, topics: Set[str]) -> Set[str]:
        """Those of the topics that are others now; who reads them stands still.

        Raises BrokerAway and TopicMissing, and ReplacedTopic for control.v1, without which nothing goes on.
        """
        replaced = self._topic_ids.replaced(topics)
        if CONTROL.name in replaced:
            raise ReplacedTopic(self._reads(CONTROL_TP), CONTROL.name, self._history.position)
        for topic in replaced:
            self._owned.refuse(topic)
            if self._followed.refuse(topic):
                self.waiting[f"follow {topic}"] = "it was made anew, and nothing of it had been read: it is begun anew"
            self._topic_ids.forget(topic)
        if replaced:
            self.assign()
        return replaced

    def _begin_anew(self, gone: OffsetOutOfRange) -> None:
        """A table, and what has read nothing yet, begins anew behind what its log lost. Raises RecordsExpired."""
        self._topic_ids.doubt()
        if self._refuse_replaced({gone.tp.topic}):
            return
        if gone.beginning is None or gone.asked >= gone.beginning:
            raise gone  # beyond the end: that is another log, or the broker does not say
        followed, owned = self._followed.lose(gone.tp), self._owned.begin_anew(gone.tp)
        if not (followed or owned):
            raise RecordsExpired(self._reads(gone.tp), gone.tp, gone.asked, gone.beginning) from gone
        if followed:
            self.waiting[f"follow {gone.tp.topic}/{gone.tp.partition}"] = str(gone)
        self.assign()

    def _reads(self, tp: TopicPartition) -> str:
        task = self._owned.by_log.get(tp)
        return self._followed.who if task is None else task.spec.id

    def _require_whole(self, tp: TopicPartition, fetched: list[LogRecord]) -> None:
        """A log of ours has no holes; users' topics may be compacted, or hold transactions. Raises RecordsExpired."""
        if tp.topic in self._users_topics():
            return
        standing = self._followed.standing(tp)
        following = None if standing is None else standing.position
        if tp in self._owned.by_log:
            expected = self._fetched(tp)
            following = expected if following is None else min(expected, following)
        if following is not None:
            require_whole(self._reads(tp), tp, fetched, following)

    def _users_topics(self) -> Set[str]:
        definitions, found = self._users
        if definitions is not self._history.newest.definitions:
            definitions = self._history.newest.definitions
            found = {source.topic_name for source in definitions.sources.values()}
            self._users = definitions, found
        return found

    def _pass_over(self, damage: DamagedBatch) -> None:
        if damage.topic not in self._users_topics():
            raise DamagedLog(damage)
        task = self._owned.by_log.get(TopicPartition(damage.topic, damage.partition))
        if task is not None:
            task.counts.damaged += damage.following - damage.first
            self._passed_over(damage)

    def _open_control(self) -> bool:
        if self._admin.partitions(CONTROL.name) is None:
            self.waiting["control.v1"] = "the registry founds the platform; it has not yet"
            return False
        self.waiting["control.v1"] = "its first entry has not been read yet"
        self._topic_ids.begin(CONTROL.name)
        self._control_open, self._control_opened = True, self._reader.fetch_token()
        self.assign()
        return True

    def _assigned(self) -> dict[TopicPartition, int]:
        positions = {tp: task.position for tp, task in self._owned.by_log.items()}
        positions |= {tp: at for tp, at in self._followed.positions.items() if tp not in positions}
        return {CONTROL_TP: self._history.position, **positions}

    def assign(self) -> None:
        """Read what the tasks and followers there are now need, each from where it stands."""
        self._reader.assign(self._assigned())
        self.assigned_for = self.at_work()
        following = self._followed.positions
        for tp in self._owned.by_log.keys() & following.keys():
            # Task and follower may stand apart; each passes over what it has taken already.
            wanted = min(self._fetched(tp), following[tp])
            if wanted < self._reader.position(tp):
                self._reader.seek(tp, wanted)

    def _fetched(self, tp: TopicPartition) -> int:
        return self._owned.inputs.reached(tp, self._owned.by_log[tp].position)

    def at_work(self) -> tuple[frozenset[str], int]:
        """The tasks, and how many logs are followed."""
        return frozenset(self._owned.tasks), len(self._followed)

    def take_peak_lag(self, task_id: str) -> int:
        """The most of `lag` at any moment since the last call."""
        return max(self._peak_lag.pop(task_id, 0), self.lag(task_id))

    def lag(self, task_id: str) -> int:
        """Entries of a task's input that it has not applied, as far as the newest fetch knows."""
        task = self._owned.tasks[task_id]
        if isinstance(task, ControlTask):
            return task.behind
        end = self._reader.end(TopicPartition(task.spec.topic, task.spec.partition))
        return 0 if end is None else max(0, end - task.position)
