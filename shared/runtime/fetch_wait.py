"""How long a fetch may wait at the broker for records to come.

Apache Kafka answers a waiting fetch as soon as a record comes, so a long wait costs no latency there. The embedded
broker answers when the wait is over, so there the wait is the latency, and each short one costs processor time on both
sides.
"""

from __future__ import annotations

# Not 0: the embedded broker then answers before it has looked, and names no partition at all.
AT_ONCE_MS = 3
ACTIVE_MS = 20
IDLE_MS = 500
# At the embedded broker. An idle platform costs by it, and the first record after a pause meets it at three hops.
SILENT_MS = 800
PAUSED_MS = 20
# Of the silence so far: short enough to be no matter beside it, long enough that a few dozen fetches lead to SILENT_MS.
_OF_SILENCE = 0.1
_TOKENS_KEEP_ACTIVE_S = 2.0


class FetchWait:
    """Chooses the wait from what happened lately; `adapts` is true for the embedded broker. Times in seconds."""

    def __init__(self, *, adapts: bool) -> None:
        self._adapts = adapts
        self._busy = False
        self._records_at = float("-inf")
        self._token_at = float("-inf")
        self._tokens_until = float("-inf")

    def records_came(self, now_s: float) -> None:
        """Records were returned."""
        self._records_at = now_s

    def token_taken(self, now_s: float) -> None:
        """Somebody waits for a proof of the end; two in short order mean that more follow (a replay in lockstep)."""
        if now_s - self._token_at < _TOKENS_KEEP_ACTIVE_S:
            self._tokens_until = now_s + _TOKENS_KEEP_ACTIVE_S
        self._token_at = now_s

    def busy(self, busy: bool) -> None:
        """Force short waits, or stop forcing them."""
        self._busy = busy

    def choose_ms(self, now_s: float, *, left_out: bool, proving: bool, prefetching: bool, paused: bool) -> int:
        """Wait of the next fetch in milliseconds.

        left_out: a log is not asked for because records of it wait in the buffer; it must not wait for the others.
        proving: the answer is to prove that an end was reached. prefetching: the caller has records in hand, so the
        state of affairs may change at once. paused: a log may be resumed while this fetch is waiting.
        """
        if left_out or proving:
            return AT_ONCE_MS
        if self._busy or prefetching or now_s < self._tokens_until:
            return ACTIVE_MS
        wait_ms = self._quiet_ms(now_s) if self._adapts else IDLE_MS
        return min(wait_ms, PAUSED_MS) if paused else wait_ms

    def _quiet_ms(self, now_s: float) -> int:
        silent_ms = 1000 * (now_s - self._records_at)
        return int(min(max(_OF_SILENCE * silent_ms, ACTIVE_MS), SILENT_MS))
