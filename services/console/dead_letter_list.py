"""The newest dead letters of all services: what their headers say, and where in their topics they stand."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from services.console.letter_replay import facts
from shared.contracts.errors import HeadraceError
from shared.contracts.identity import derived_id
from shared.runtime.log import LogRecord, Reader, TopicPartition
from shared.runtime.to_the_end import to_the_end

KEPT_LETTERS = 10_000
READ_WITHIN_S = 10.0


class LetterUnknown(HeadraceError):
    """No letter, or more than one, has an id that begins so."""

    def __init__(self, wanted: str, found: int) -> None:
        said = f"{found} letters have ids that begin with" if found else "there is no dead letter"
        super().__init__(f"{said} {wanted}: see `headrace dead list`, which knows the newest {KEPT_LETTERS:,}")


class LetterExpired(HeadraceError):
    """A letter that its topic no longer holds."""

    def __init__(self, letter_id: str, where: str) -> None:
        super().__init__(f"letter {letter_id} is gone: {where} has expired in its topic")


@dataclass(frozen=True, slots=True)
class Letter:
    """`facts`: what a list tells of it. It stands in `tp` at `offset`, since `time_ms` of the broker."""

    id: str
    service: str
    tp: TopicPartition
    offset: int
    time_ms: int
    facts: dict[str, str | int | None]

    @property
    def replay_id(self) -> str:
        """Of the event of `control.v1` that says that it was replayed."""
        return derived_id(self.id, "replayed")


class DeadLetters:
    """Written by the driver's thread, read by those of HTTP."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._letters: dict[str, Letter] = {}

    def take(self, record: LogRecord) -> bool:
        """Whether it is a letter that is not known yet: the same one may have been sent again."""
        if not any(name == "headrace_dead_id" for name, _ in record.headers):
            return False
        told = facts(record)
        letter_id = str(told.pop("letter_id"))
        service = record.topic.removesuffix(".dead.v1")
        tp = TopicPartition(record.topic, record.partition)
        with self._lock:
            if letter_id in self._letters:
                return False
            self._letters[letter_id] = Letter(letter_id, service, tp, record.offset, record.timestamp_ms, told)
            if len(self._letters) > KEPT_LETTERS:
                del self._letters[next(iter(self._letters))]
        return True

    def newest(self, service: str | None = None) -> list[Letter]:
        """Newest first, of one service or all."""
        with self._lock:
            letters = list(self._letters.values())
        found = [letter for letter in reversed(letters) if service in (None, letter.service)]
        return sorted(found, key=lambda letter: letter.time_ms, reverse=True)

    def find(self, wanted: str) -> Letter:
        """The letter whose id is or begins with `wanted`. Raises LetterUnknown."""
        with self._lock:
            found = [letter for letter_id, letter in self._letters.items() if letter_id.startswith(wanted)]
        if len(found) != 1:
            raise LetterUnknown(wanted, len(found))
        return found[0]


def read_letter(reader: Reader, letter: Letter, within_s: float = READ_WITHIN_S) -> LogRecord:
    """The letter as it stands in its topic, by a reader that is closed afterwards.

    Raises LetterExpired, TimeoutError, and what the reader raises.
    """
    try:
        if reader.beginning(letter.tp) <= letter.offset:
            reader.assign({letter.tp: letter.offset})
            for _, records in to_the_end(reader, [letter.tp], silent_s=within_s, within_s=within_s, most=1):
                if records and records[0].offset == letter.offset:
                    return records[0]
                break
    finally:
        reader.close()
    raise LetterExpired(letter.id, f"{letter.tp.topic}/{letter.tp.partition}@{letter.offset}")
