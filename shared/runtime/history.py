"""The control log as a process knows it: every entry read so far, which of them count, and the platform at each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.contracts.control import PlatformFounded
from shared.contracts.envelope import Mark, Message, decode, origin
from shared.contracts.errors import HeadraceError, UnreadableEvent
from shared.contracts.platform import Platform
from shared.runtime.log import LogRecord


class ControlLogGap(HeadraceError):
    """An entry of control.v1 that does not follow the one before."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"control.v1 has no entry {expected}: the next one read is {found}. It must never be compacted or expire; "
            "set cleanup.policy=delete and retention.ms=-1 on it, and found the platform anew if entries are gone."
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log. `message` is None where readers skip it: a repetition, or bytes that are no event."""

    record: LogRecord
    message: Message | None


class ControlHistory:
    """Reads `control.v1` from its first entry. Positions count entries: `at(n)` is the platform after the first n.

    Copies of tables are known of `newest` only: what an older one was is nothing that is decided, and to keep it for
    each entry would take memory for ever.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._platforms: list[Platform] = [Platform()]
        self._newest = self._platforms[0]
        self._last: dict[str, int] = {}
        self._outside: set[str] = set()
        self._accepted: dict[str, int] = {}

    @property
    def position(self) -> int:
        return len(self.entries)

    @property
    def newest(self) -> Platform:
        return self._newest

    @property
    def log_id(self) -> str | None:
        return self.newest.log_id

    def at(self, position: int) -> Platform:
        """The platform after the first `position` entries, without tables; all of them must have been read."""
        return self._platforms[position]

    def position_of(self, event_id: str) -> int | None:
        """The control position at which an accepted event came into force."""
        return self._accepted.get(event_id)

    def append(self, record: LogRecord) -> Entry:
        """Take the next entry of the log. One that was read already is ignored. Raises ControlLogGap."""
        if record.offset < self.position:
            return self.entries[record.offset]
        if record.offset > self.position:
            raise ControlLogGap(self.position, record.offset)
        message = self._accept(record)
        entry = Entry(record, message)
        self.entries.append(entry)
        self._newest = self._newest.skipped() if message is None else self._newest.after(message)
        self._platforms.append(replace(self._newest, tables={}) if self._newest.tables else self._newest)
        if message is not None:
            self._accepted[message.id] = self.position
        return entry

    def _accept(self, record: LogRecord) -> Message | None:
        try:
            message = decode(record.key, record.value, record.headers)
        except UnreadableEvent:
            self._count(record)
            return None
        if isinstance(message, Mark) or (self.log_id is None) != isinstance(message.event, PlatformFounded):
            return None  # nothing counts before the founding, and a second one never
        if message.sequence is None:
            if message.id in self._outside:
                return None
            self._outside.add(message.id)
            return message
        if message.sequence != self._last.get(message.source, 0) + 1:
            return None
        self._last[message.source] = message.sequence
        return message

    def _count(self, record: LogRecord) -> None:
        """What cannot be read takes its number all the same: otherwise all that its task says later is a gap."""
        wrote = origin(record.headers)
        if wrote is not None and wrote.sequence == self._last.get(wrote.source, 0) + 1:
            self._last[wrote.source] = wrote.sequence
