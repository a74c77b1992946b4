"""Which newest rows a run may fit on, and how many of the newest judge all of these windows alike.

The rows that judge lie behind each window when it is judged; then the window moves on to the newest row (`candidate`).
After a change the rows since it are of the new kind, and few. Where a stream drifts without a change that was noticed,
nobody knows how far back rows still help, so windows grow by a factor of four: each holds what the next shorter one
lacks (as the exponential histograms of ADWIN do, Bifet and Gavalda 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

from services.training.block_error import BLOCK_ROWS, LEAST_BLOCKS
from services.training.fit import LEAST_HELD_BACK, MINIMUM_ROWS, TooFewRows

LEAST_WINDOW = 4 * MINIMUM_ROWS
SINCE_CHANGE = "since change"
SHARES = {"newest quarter": 4, "newest sixteenth": 16}
ALIKE = 0.1
JUDGING_ROWS, JUDGING_SHARE = 500, 8


def candidate_windows(
    chosen: int | str, positions: Sequence[int], since: int | None, minimum_rows: int
) -> dict[str, int]:
    """Name and first row of each window, the widest first; rows at these positions, oldest first.

    `auto`: all, since the change and twice as many (if a change is known), and the newest quarter and sixteenth of all;
    none but all is shorter than half of `minimum_rows`, or than LEAST_WINDOW; at most five, of two of nearly one length
    the first. A number, or `all`, is one window. Raises TooFewRows.
    """
    count = len(positions)
    if count < MINIMUM_ROWS:
        raise TooFewRows(count)
    if isinstance(chosen, int):
        return {f"newest {chosen}": max(0, count - chosen)}
    if chosen == "all":
        return {"all": 0}
    lengths, least = {"all": count}, max(LEAST_WINDOW, minimum_rows // 2)
    for name, length in (*_since_change(positions, since, least), *_shares(count, least)):
        if not any(_alike(length, other) for other in lengths.values()):
            lengths[name] = length
    return {name: count - length for name, length in sorted(lengths.items(), key=lambda entry: -entry[1])}


def judging_rows(rows: int) -> int:
    """How many of the newest rows judge: an eighth, at most JUDGING_ROWS; of few rows a quarter, until that makes
    enough blocks to tell how sure the judgement is."""
    quarter = min(rows // 4, LEAST_BLOCKS * BLOCK_ROWS)
    return max(LEAST_HELD_BACK, quarter, min(rows // JUDGING_SHARE, JUDGING_ROWS))


def _since_change(positions: Sequence[int], since: int | None, least: int) -> list[tuple[str, int]]:
    if since is None:
        return []
    count = len(positions)
    changed = next((row for row, position in enumerate(positions) if position >= since), count)
    length = min(count, max(count - changed, least))
    return [(SINCE_CHANGE, length), ("twice since change", min(count, 2 * length))]


def _shares(count: int, least: int) -> list[tuple[str, int]]:
    return [(name, count // share) for name, share in SHARES.items() if count // share >= least]


def _alike(length: int, other: int) -> bool:
    return abs(length - other) <= ALIKE * min(length, other)
