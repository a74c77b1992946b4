"""Which events of a log count for one who follows it without a file: the next of each task, and others once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.contracts.envelope import Mark, Message, origin


class Acceptance:
    """One log's. `begins_late`: its beginning has expired, so the first sequence of a task that is met is the baseline.

    In a log that is whole it is not: what a failed send left out comes again behind what came to stand after it.
    `last`: by task, the last that counted of what was taken before; it stands for the log's beginning.
    """

    def __init__(self, begins_late: bool = False, last: Mapping[str, int] | None = None) -> None:
        self._begins_late = begins_late
        self._last: dict[str, int] = dict(last or {})

    @property
    def last(self) -> Mapping[str, int]:
        """By task, the last that counted."""
        return dict(self._last)

    def accepts(self, message: Message) -> bool:
        """Whether the event is new. Events from outside always pass: whoever follows them goes by their id.

        A replayed dead letter is not: it counts for its task alone, and the others have taken the event already.
        """
        if message.sequence is None:
            return message.replay_for is None
        return self._next(message.source, message.sequence)

    def counts(self, mark: Mark) -> bool:
        """Whether everything that the mark stands behind has been accepted."""
        if self._begins_late:
            # As in a task: where the beginning has expired, the sequence that the first mark names is the baseline.
            self._last.setdefault(mark.source, mark.sequence)
        return mark.sequence <= self._last.get(mark.source, 0)

    def unreadable(self, headers: Sequence[tuple[str, bytes]]) -> None:
        """An entry that cannot be read takes its number all the same."""
        wrote = origin(headers)
        if wrote is not None:
            self._next(wrote.source, wrote.sequence)

    def _next(self, source: str, sequence: int) -> bool:
        if sequence != self._last.get(source, sequence - 1 if self._begins_late else 0) + 1:
            return False
        self._last[source] = sequence
        return True
