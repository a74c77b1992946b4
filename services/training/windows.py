"""Which newest rows a run may fit on, and how many of the newest judge all of these windows alike.

The rows that judge lie behind each window when it is judged; then the window moves on to the newest row (`candidate`).
After a change the rows since it are of the new kind, and few. Where a stream drifts without a change that was noticed,
nobody knows how far back rows still help, so there are short windows beside all rows, each four times the one before.
They are as long in an old stream as in a young one, for how much a fit needs depends on the problem, as `minimum_rows`
does.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.training.block_error import BLOCK_ROWS, LEAST_BLOCKS
from services.training.fit import LEAST_HELD_BACK, MINIMUM_ROWS, TooFewRows

LEAST_WINDOW = 4 * MINIMUM_ROWS
SINCE_CHANGE = "since change"
SHORT = (0.5, 2.0)  # times `minimum_rows`
ALIKE = 0.1
JUDGING_ROWS, JUDGING_SHARE = 500, 8


def candidate_windows(
    chosen: int | str, positions: Sequence[int], since: int | None, minimum_rows: int
) -> dict[str, int]:
    """Name and first row of each window, the widest first; rows at these positions, oldest first.

    `auto`: all, since the change and twice as many (if a change is known), and half and twice `minimum_rows`, each at
    least LEAST_WINDOW; since a change at least half of `minimum_rows`, and MINIMUM_ROWS beside those that judge. Of two
    of nearly one length it is the first, and none would be judged by the same fit as all rows. A number, or `all`, is
    one window. Raises TooFewRows.
    """
    count = len(positions)
    if count < MINIMUM_ROWS:
        raise TooFewRows(count)
    if isinstance(chosen, int):
        return {newest(chosen): max(0, count - chosen)}
    if chosen == "all":
        return {"all": 0}
    judging = judging_rows(count)
    # One since a change is judged by a fit on its own rows alone, without those that judge (`fit_members`).
    lengths, least = {"all": count}, max(LEAST_WINDOW, minimum_rows // 2, MINIMUM_ROWS + judging)
    for name, length in (*_since_change(positions, since, least), *_short(count, minimum_rows)):
        # The fit that judges any other begins so many rows before it: here it would be that of all rows.
        as_all = name != SINCE_CHANGE and count - length <= judging
        if not as_all and not any(_alike_long(length, other) for other in lengths.values()):
            lengths[name] = length
    return {name: count - length for name, length in sorted(lengths.items(), key=lambda entry: -entry[1])}


def newest(rows: int) -> str:
    """The name of a window of so many rows."""
    return f"newest {rows}"


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


def _short(count: int, minimum_rows: int) -> list[tuple[str, int]]:
    lengths = [max(LEAST_WINDOW, int(times * minimum_rows)) for times in SHORT]
    return [(newest(length), length) for length in lengths if length < count]


def _alike_long(length: int, other: int) -> bool:
    return abs(length - other) <= ALIKE * min(length, other)
