"""Proof that a reader has returned everything that a log held at a moment.

Fetches are numbered as they are sent. A token is the number of the last one sent, so exactly the fetches with a higher
number began after it. An answer shows a high watermark: what the log held when the fetch was answered lies below it.
So once the position has come to the high watermark of an answer to fetch n, every token below n is proved.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from shared.runtime.log import TopicPartition


@dataclass(slots=True)
class _Log:
    answered: int = 0
    end: int | None = None
    proved: int = 0
    # (fetch, high watermark) not yet reached by the position, both ascending
    ahead: deque[tuple[int, int]] = field(default_factory=deque)


class EndProof:
    """Tokens of one reader and what proves them."""

    def __init__(self) -> None:
        self._sent = 0
        self._newest_token = -1
        self._logs: dict[TopicPartition, _Log] = {}

    def fetch_sent(self) -> int:
        """Number of the fetch that is sent now."""
        self._sent += 1
        return self._sent

    def token(self) -> int:
        """This moment."""
        self._newest_token = self._sent
        return self._sent

    def wanted(self, tp: TopicPartition) -> bool:
        """Whether the newest token still waits for an answer about `tp`."""
        log = self._logs.get(tp)
        return self._newest_token >= (log.answered if log else 0)

    def answered(self, tp: TopicPartition, fetch: int, high_watermark: int) -> None:
        """The broker answered fetch number `fetch` without an error."""
        log = self._logs.setdefault(tp, _Log())
        if log.end is not None and high_watermark < log.end:
            # A leader just elected may not know yet how far its log is acknowledged: that answer proves nothing.
            return
        log.end = high_watermark
        if fetch <= log.answered:
            return
        log.answered = fetch
        if log.ahead and log.ahead[-1][1] == high_watermark:
            log.ahead.pop()
        log.ahead.append((fetch, high_watermark))

    def moved(self, tp: TopicPartition, position: int) -> None:
        """Everything below `position` has been returned to the caller."""
        log = self._logs.get(tp)
        while log and log.ahead and log.ahead[0][1] <= position:
            log.proved = log.ahead.popleft()[0]

    def end(self, tp: TopicPartition) -> int | None:
        """The newest high watermark."""
        log = self._logs.get(tp)
        return log.end if log else None

    def reached_since(self, tp: TopicPartition, token: int) -> bool:
        """Whether the end as of `token` has been reached."""
        log = self._logs.get(tp)
        return log is not None and log.proved > token

    def forget(self, tp: TopicPartition) -> None:
        """The position was set anew, or the log is no longer read: what was proved holds no more."""
        self._logs.pop(tp, None)
