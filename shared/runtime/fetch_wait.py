"""How long a fetch may wait at the broker for records to come.

Apache Kafka answers a waiting fetch as soon as a record comes, so a long wait costs no latency there. The embedded
broker answers when the wait is over, so there the wait is the latency, and each short one costs processor time on both
sides.
"""

from __future__ import annotations

from collections import deque

# Not 0: the embedded broker then answers before it has looked, and names no partition at all.
AT_ONCE_MS = 3
ACTIVE_MS = 20
IDLE_MS = 500
# At the embedded broker. An idle platform costs by it, and the first record after a pause meets it at three hops, which
# together are to take less than a second.
SILENT_MS = 300
PAUSED_MS = 20
# Of the silence so far: while records flow, short enough to be no matter beside it. A tick, and what answers it, comes
# alone: nothing follows, and a few fetches lead back to SILENT_MS.
_OF_SILENCE, _OF_SILENCE_ALONE = 0.1, 0.5
# Records flow if they came in so many seconds of so long a time. Ticks, ten seconds apart, do not, however many answer.
_FLOW_SECONDS, _FLOW_WITHIN_S = 8, 20.0
_TOKENS_KEEP_ACTIVE_S = 2.0
_ONE_TICK_S = 0.1  # each task that a tick asks takes a token of its own


class FetchWait:
    """Chooses the wait from what happened lately; `adapts` is true for the embedded broker. Times in seconds."""

    def __init__(self, *, adapts: bool) -> None:
        self._adapts = adapts
        self._busy = False
        self._records_at = float("-inf")
        self._seconds = deque([float("-inf")] * _FLOW_SECONDS, maxlen=_FLOW_SECONDS)  # starts of those with records
        self._token_at = float("-inf")
        self._tokens_until = float("-inf")

    def records_came(self, now_s: float) -> None:
        """Records were returned."""
        self._records_at = now_s
        if now_s >= self._seconds[-1] + 1.0:
            self._seconds.append(now_s)

    def token_taken(self, now_s: float) -> None:
        """Somebody waits for a proof of the end; two ticks in short order mean more of them (a replay in lockstep)."""
        since_s = now_s - self._token_at
        if since_s < _ONE_TICK_S:
            return
        if since_s < _TOKENS_KEEP_ACTIVE_S:
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
        flow = now_s - self._seconds[0] < _FLOW_WITHIN_S
        share, silent_ms = _OF_SILENCE if flow else _OF_SILENCE_ALONE, 1000 * (now_s - self._records_at)
        return int(min(max(share * silent_ms, ACTIVE_MS), SILENT_MS))
