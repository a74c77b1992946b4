"""The logs that a process follows and derives nothing from: where each stands, what counted, who hears it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.contracts.envelope import Mark, decode
from shared.contracts.errors import UnreadableEvent
from shared.contracts.platform import Platform
from shared.runtime.acceptance import Acceptance
from shared.runtime.log import LogRecord, Reader, TopicPartition
from shared.runtime.lost_records import ReplacedTopic
from shared.runtime.service import Follower, RawFollower, TableReader
from shared.runtime.step import Wait
from shared.runtime.table_starts import TableStarts
from shared.runtime.topic_ids import TopicIds

log = structlog.get_logger()


class _Partitions(Protocol):
    def __call__(self, topic: str, /) -> int | None: ...


@dataclass(slots=True)
class _Followed:
    acceptance: Acceptance
    position: int
    began: int
    topic_id: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a log was followed: the offset of the next entry, and the last accepted sequence of each task.

    `topic_id`: which topic that was; None if the broker has no ids.
    """

    position: int
    sequences: Mapping[str, int]
    topic_id: str | None


class FollowedLogs:
    """`name`: that of the process. `decided`: whether control.v1 has been read to the end that it had at the start.

    Until then nobody knows which copy of a table is the newest.
    """

    def __init__(
        self, name: str, followers: Sequence[Follower], raw_followers: Sequence[RawFollower], reader: Reader,
        starts: TableStarts, topic_ids: TopicIds, decided: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._name, self._topic_ids = name, topic_ids
        self._followers, self._raw_followers = followers, raw_followers
        self._reader, self._starts, self._decided = reader, starts, decided
        self._followed: dict[TopicPartition, _Followed] = {}
        self._looked_for: set[str] = set()
        self._unread: dict[TopicPartition, str] = {}  # tables that are not read to their end yet, and why
        self._reading: dict[TopicPartition, int] = {}  # of these, those that are read: since which fetch
        self.refused: dict[str, str] = {}  # logs that are not followed until the next start, and why

    def __contains__(self, tp: object) -> bool:
        return tp in self._followed

    def __len__(self) -> int:
        return len(self._followed)

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """The offset of the next entry of each log."""
        return {tp: followed.position for tp, followed in self._followed.items()}

    def standing(self, tp: TopicPartition) -> Standing | None:
        """How far a log was followed; None if it was not begun."""
        followed = self._followed.get(tp)
        if followed is None:
            return None
        return Standing(followed.position, followed.acceptance.last, followed.topic_id)

    def began(self, tp: TopicPartition) -> int | None:
        """The offset at which reading began: the log's beginning, or that of a copy; None if it was not begun."""
        followed = self._followed.get(tp)
        return None if followed is None else followed.began

    def why_unread(self, topic: str) -> str | None:
        """Why not everything that a table's log held at first has been read; None: it has. On any thread."""
        if topic not in self._looked_for:
            return "its log has not been looked for yet"
        return next((why for tp, why in list(self._unread.items()) if tp.topic == topic), None)

    def open(self, platform: Platform, partitions: _Partitions) -> dict[str, str]:
        """Begin the logs that followers call for, as soon as they are there; what is waited for, and why."""
        waiting: dict[str, str] = {}
        for follower in (*self._followers, *self._raw_followers):
            for topic in follower.topics(platform):
                count = partitions(topic)
                if count is None:
                    waiting[f"follow {topic}"] = f"topic {topic} does not exist yet"
                for tp in (TopicPartition(topic, p) for p in range(count or 0)):
                    if tp not in self._followed and _following(tp) not in self.refused:
                        self._begin(tp, follower, platform, waiting)
                self._looked_for.add(topic)
        return waiting

    def _begin(
        self, tp: TopicPartition, follower: Follower | RawFollower, platform: Platform, waiting: dict[str, str]
    ) -> None:
        if not isinstance(follower, TableReader):
            topic_id, beginning = self._topic_ids.begin(tp.topic), self._reader.beginning(tp)
            self._followed[tp] = _Followed(Acceptance(begins_late=beginning > 0), beginning, beginning, topic_id)
            return
        self._unread[tp] = "it is being read"
        try:
            self._begin_table(tp, follower, platform)
        except Wait as wait:
            waiting[f"table {tp.topic}/{tp.partition}"] = self._unread[tp] = str(wait)
        except ReplacedTopic as replaced:
            self._refuse(tp, replaced)

    def _begin_table(self, tp: TopicPartition, table: TableReader, platform: Platform) -> None:
        if not self._decided():
            raise Wait("control.v1 is read to its end first: it names the newest copy")
        copies, topic_id = table.copies(tp, platform), self._topic_ids.begin(tp.topic)
        if topic_id and any(copy.topic_id not in (None, topic_id) for copy in copies):
            raise ReplacedTopic(self.who, tp.topic, copies[-1].position)
        start = self._starts.start(tp, copies, lambda: self._reader.beginning(tp))
        table.begin(tp, start.rows)
        self._followed[tp] = _Followed(Acceptance(last=start.sequences), start.position, start.position, topic_id)
        self._reading[tp] = self._reader.fetch_token()

    def lose(self, tp: TopicPartition) -> bool:
        """The log has lost what this process has not read. A table, and what has read nothing, is begun anew: True."""
        followed, table = self._followed.get(tp), bool(self._tables(tp))
        if followed is None or not (table or followed.position == followed.began):
            return False
        del self._followed[tp]
        if table:
            self._reading.pop(tp, None)
            self._unread[tp] = "its log has lost entries that were not read yet; it is begun anew"
        return True

    def refuse(self, topic: str) -> bool:
        """The topic is another than the one that was followed: what is known of it stays, and nothing is read on.

        True: of some of it nothing was read, and that is to be begun anew.
        """
        anew = False
        for tp in [tp for tp in self._followed if tp.topic == topic]:
            followed = self._followed.pop(tp)
            # What began with a copy knows what stood before.
            if followed.position == (0 if self._tables(tp) else followed.began):
                self._reading.pop(tp, None)
                anew = True
            else:
                self._refuse(tp, ReplacedTopic(self.who, topic, followed.position))
        return anew

    def _refuse(self, tp: TopicPartition, replaced: ReplacedTopic) -> None:
        log.error(str(replaced), error=type(replaced).__name__, partition=tp.partition)
        self._reading.pop(tp, None)
        self.refused[_following(tp)] = str(replaced)
        if self._tables(tp):
            self._unread[tp] = str(replaced)

    @property
    def who(self) -> str:
        """Its name in what is said of a log that nobody but it reads."""
        return f"{self._name}, which follows it,"

    def _tables(self, tp: TopicPartition) -> list[TableReader]:
        return [f for f in self._followers if isinstance(f, TableReader) and f.reads(tp)]

    def take(self, tp: TopicPartition, records: Sequence[LogRecord], platform: Platform) -> None:
        """What was fetched of a log, in its order; what was taken before is passed over."""
        followed = self._followed[tp]
        followers = [f for f in self._followers if tp.topic in f.topics(platform)]
        raw_followers = [f for f in self._raw_followers if tp.topic in f.topics(platform)]
        for record in records:
            if record.offset < followed.position:
                continue
            followed.position = record.offset + 1
            for raw in raw_followers:
                raw.on_record(record)
            if followers:
                _tell(tp, record, followed.acceptance, followers)

    def note_ends(self) -> None:
        """After a fetch: which tables have now been read to the end that they had when they were begun."""
        for tp, token in list(self._reading.items()):
            if self._reader.end_reached_since(tp, token):
                del self._reading[tp], self._unread[tp]

    def close(self) -> None:
        """Let go of what is being fetched."""
        self._starts.close()


def _following(tp: TopicPartition) -> str:
    return f"follow {tp.topic}/{tp.partition}"


def _tell(tp: TopicPartition, record: LogRecord, acceptance: Acceptance, followers: Sequence[Follower]) -> None:
    try:
        entry = decode(record.key, record.value, record.headers)
    except UnreadableEvent:
        acceptance.unreadable(record.headers)
        return
    if isinstance(entry, Mark):
        for follower in followers if acceptance.counts(entry) else ():
            follower.on_mark(tp, entry)
    elif acceptance.accepts(entry):
        for follower in followers:
            follower.on_message(tp, entry)
