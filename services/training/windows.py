"""Which newest rows a run may fit on, and how many of the newest judge all of these windows alike.

After a change the rows since it are of the new kind, and few. Where a stream drifts without a change that was noticed,
nobody knows how far back rows still help, so windows grow by a factor of four: each holds what the next shorter one
lacks (as the exponential histograms of ADWIN do, Bifet and Gavalda 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

from services.training.block_error import BLOCK_ROWS, LEAST_BLOCKS
from services.training.fit import LEAST_HELD_BACK, MINIMUM_ROWS, TooFewRows, held_back_rows

LEAST_SINCE_CHANGE = 4 * MINIMUM_ROWS
# A shorter one is judged on too few rows, and so would be all the others, for they share them.
LEAST_SHARE = 400
SHARES = {"newest quarter": 4, "newest sixteenth": 16}
ALIKE = 0.1
JUDGING_ROWS = 500


def candidate_windows(chosen: int | str, positions: Sequence[int], since: int | None) -> dict[str, int]:
    """Name and first row of each window, the widest first; rows at these positions, oldest first.

    `auto`: all, since the change and twice as many (if a change is known; at least LEAST_SINCE_CHANGE rows), and the
    newest quarter and sixteenth of all that have LEAST_SHARE rows; at most five, of two of nearly one length the first.
    A number, or `all`, is one window. Raises TooFewRows.
    """
    count = len(positions)
    if count < MINIMUM_ROWS:
        raise TooFewRows(count)
    if isinstance(chosen, int):
        return {f"newest {chosen}": max(0, count - chosen)}
    if chosen == "all":
        return {"all": 0}
    lengths = {"all": count}
    for name, length in (*_since_change(positions, since), *_shares(count)):
        if not any(_alike(length, other) for other in lengths.values()):
            lengths[name] = length
    return {name: count - length for name, length in sorted(lengths.items(), key=lambda entry: -entry[1])}


def judging_rows(shortest: int) -> int:
    """How many of the newest rows judge, of windows of which the shortest has so many rows.

    A quarter of it, but no more than JUDGING_ROWS or what a lone fit would hold back; of a short one up to a half, if
    that makes enough blocks to tell how sure the judgement is.
    """
    enough = LEAST_BLOCKS * BLOCK_ROWS
    quarter = min(shortest // 4, max(held_back_rows(shortest), JUDGING_ROWS))
    return max(LEAST_HELD_BACK, quarter, enough if enough <= shortest // 2 else 0)


def _since_change(positions: Sequence[int], since: int | None) -> list[tuple[str, int]]:
    if since is None:
        return []
    count = len(positions)
    changed = next((row for row, position in enumerate(positions) if position >= since), count)
    length = min(count, max(count - changed, LEAST_SINCE_CHANGE))
    return [("since change", length), ("twice since change", min(count, 2 * length))]


def _shares(count: int) -> list[tuple[str, int]]:
    return [(name, count // share) for name, share in SHARES.items() if count // share >= LEAST_SHARE]


def _alike(length: int, other: int) -> bool:
    return abs(length - other) <= ALIKE * min(length, other)
