"""How often the champion is right, and what it loses, before labels are known.

The reference counts how often the version was right, by region of the inputs and by score: at first on rows that its
fit had not seen (`shared/contracts/calibration.py`), later on the newest matured outcomes. The newest ROWS scored
records say how frequent each region is now. Each reference row weighs as its region has become more frequent (density
ratio: share now / share then, drawn towards 1 by PRIOR_ROWS records that came as then); with these weights the scores
are calibrated by isotonic regression (pool adjacent violators, Barlow et al. 1972), and the estimate is the mean, over
the newest records, of the calibrated probability of being right. That is confidence-based performance estimation,
weighted by importance (Bialek, Kuberski, Perrakis, Bifet, "Estimating model performance under covariate shift without
labels", 2024; Shimodaira 2000). The monitored loss is the mean, over the records, of the weighted mean loss of their
bin.

It sees that more records come about which the model is unsure, and more from regions where it is wrong more often. It
cannot see that the same inputs have got other labels (concept drift) before the first of these labels are known, nor
inputs that the reference never showed. It is shown, and decides nothing. At the end of every ROWS records the estimate
is kept until their labels are known, and then compared with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared.contracts.calibration import Calibration, Counts

ROWS = 500
FEWEST = 100
PRIOR_ROWS = 16.0
# Matured outcomes take the place of older reference rows so many at a time: the newest one to two times as many count.
GENERATION = 1_000
# With fewer the standard error of an accuracy can be above 0.05, and nothing is shown.
LEAST_EFFECTIVE_ROWS = 100.0
# Of records from a region, or with a score, of which the reference has no row: an estimate would be of the others only.
MOST_UNLIKE = 0.05
# Blocks of records that wait for their labels; while so many do, no other one is kept.
MOST_BLOCKS = 64

Key = tuple[int, str]


class Figures(NamedTuple):
    """Accuracy and mean bounded loss of so many records; of an error, by how much the estimates were too high."""

    accuracy: float
    loss: float
    rows: int

    def metrics(self) -> dict[str, float]:
        return {"accuracy": self.accuracy, "loss": self.loss}


class Levels(NamedTuple):
    """Expected of a record, by its bin: how probably it is answered right, and its loss. None: nothing is known."""

    right: tuple[float | None, ...]
    loss: tuple[float, ...]


class Block(NamedTuple):
    """ROWS consecutive records, from the first to the last (event time, record id), and what was expected of them."""

    first: Key
    last: Key
    levels: Levels


class Tally(NamedTuple):
    """What is known by now of the oldest block, by bin: records, those answered right, the sum of losses."""

    rows: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    loss: tuple[float, ...] = ()


class EstimateState(NamedTuple):
    """`places`: those of the newest records. `before`, `now`: counts of matured outcomes that are the reference; None:
    the version's table, and nothing. `filled`, `first`: of the block that is open. `error`: of the newest block whose
    labels are known."""

    version: int
    since: int
    places: tuple[int, ...] = ()
    before: Counts | None = None
    now: Counts | None = None
    filled: int = 0
    first: Key | None = None
    blocks: tuple[Block, ...] = ()
    tally: Tally = Tally()
    error: Figures | None = None

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EstimateState:
        """The state that `to_json` wrote."""
        known = {name: data[name] for name in cls._fields if name in data}
        known["places"] = tuple(data["places"])
        for name in ("before", "now"):
            known[name] = data[name] and Counts(*map(tuple, data[name]))
        known["first"] = data["first"] and _key(data["first"])
        known["blocks"] = tuple(Block(_key(a), _key(b), Levels(*map(tuple, c))) for a, b, c in data["blocks"])
        known["tally"] = Tally(*map(tuple, data["tally"]))
        known["error"] = data["error"] and Figures(*data["error"])
        return cls(**known)


def scored(
    state: EstimateState, table: Calibration, key: Key, inputs: Mapping[str, Any], output: Sequence[float | None]
) -> EstimateState:
    """One more record that the version answered, in the order of `key`. An output that is no prediction is neither
    right nor wrong, and is passed over."""
    place = table.place(inputs, output)
    if place is None:
        return state
    places = (*state.places[1 - ROWS :], place)
    state = state._replace(places=places, filled=state.filled + 1, first=state.first or key)
    return _ended(state, table, key) if state.filled >= ROWS else state


def labelled(
    state: EstimateState, table: Calibration, key: Key, inputs: Mapping[str, Any], output: Sequence[float | None],
    right: bool, loss: float,
) -> EstimateState:  # fmt: skip
    """The label of a record is known: a reference row from now on, and a part of its block's truth. In the order of
    `key`; a late record, which comes behind, has no part in that."""
    place = table.place(inputs, output)
    if place is None:
        return state
    while state.blocks and key > state.blocks[0].last:
        state = _compared(state)
    first = state.blocks[0].first if state.blocks else state.first
    if first is not None and key >= first:
        state = state._replace(tally=_tallied(state.tally, table, place, right, loss))
    now = (state.now or Counts.none(len(table.counts.rows))).with_one(place, table.is_hit(place, right), loss)
    full = sum(now.rows) >= GENERATION
    return state._replace(before=now, now=None) if full else state._replace(now=now)


def estimate(state: EstimateState, table: Calibration) -> Figures | None:
    """Of the newest records, at most ROWS. None: fewer than FEWEST, or too few reference rows are like them."""
    levels = _levels(state, table)
    return None if levels is None else _expected(levels, _by_bin(state.places, table))


def reference(state: EstimateState, table: Calibration) -> Counts:
    """The rows that the estimate rests on."""
    before = state.before or table.counts
    return before if state.now is None else before.plus(state.now)


def density_ratios(counts: Counts, table: Calibration, places: Sequence[int]) -> list[float]:
    """By leaf: its share among records at these places, over its share in the reference; 0 where that is 0."""
    rows, recent = [0] * table.leaves, [0] * table.leaves
    for place, count in enumerate(counts.rows):
        rows[place // table.bins] += count
    for place in places:
        recent[place // table.bins] += 1
    factor, prior = sum(rows) / (len(places) + PRIOR_ROWS), PRIOR_ROWS / sum(rows)
    return [factor * (now / then + prior) if then else 0.0 for now, then in zip(recent, rows, strict=True)]


def weighted_levels(counts: Counts, table: Calibration, ratios: Sequence[float]) -> Levels:
    """With reference rows that weigh as the ratio of their leaf."""
    rows, hits, losses = (_weighted(values, table, ratios) for values in counts)
    # Of a binary model one curve on either side of 0.5: across it, what looks like a falling curve and is noise would
    # be smoothed away, always in favour of the answers.
    side = table.zeros
    rates = isotonic(hits[:side], rows[:side]) + isotonic(hits[side:], rows[side:])
    right = (None if not rows[b] else 1.0 - rate if b < side else rate for b, rate in enumerate(rates))
    return Levels(tuple(right), tuple(loss / n if n else 0.0 for loss, n in zip(losses, rows, strict=True)))


def isotonic(sums: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The rates, rising from place to place, that are nearest to sums / weights in weighted squares; a place without
    weight has the rate of the one before it, the first that of the next."""
    pools: list[tuple[float, float, int]] = []
    for at_place, weight_there in zip(sums, weights, strict=True):
        total, weight, places = at_place, weight_there, 1
        while pools and (not weight or pools[-1][0] * weight >= total * pools[-1][1]):
            before = pools.pop()
            total, weight, places = before[0] + total, before[1] + weight, before[2] + places
        pools.append((total, weight, places))
    return [total / weight if weight else 0.0 for total, weight, places in pools for _ in range(places)]


def effective_rows(counts: Counts, table: Calibration, ratios: Sequence[float], bins: Sequence[int]) -> float:
    """So many rows of one weight would say as much as the reference does of records in these bins, where each of its
    rows weighs as the ratio of its leaf and as many of the records as are in its bin (Kish 1965)."""
    rows = _weighted(counts.rows, table, ratios)
    weights = [records / n if n else 0.0 for records, n in zip(bins, rows, strict=True)]
    squares = sum(
        n * (ratios[place // table.bins] * weights[place % table.bins]) ** 2 for place, n in enumerate(counts.rows)
    )
    return sum(bins) ** 2 / squares if squares else 0.0


def _levels(state: EstimateState, table: Calibration) -> Levels | None:
    counts = reference(state, table)
    if not sum(counts.rows):
        return None
    ratios = density_ratios(counts, table, state.places)
    rows = _weighted(counts.rows, table, ratios)
    like = [place for place in state.places if ratios[place // table.bins] and rows[place % table.bins]]
    if len(like) < FEWEST or len(like) < (1.0 - MOST_UNLIKE) * len(state.places):
        return None
    if effective_rows(counts, table, ratios, _by_bin(like, table)) < LEAST_EFFECTIVE_ROWS:
        return None
    return weighted_levels(counts, table, ratios)


def _weighted(values: Sequence[float], table: Calibration, ratios: Sequence[float]) -> list[float]:
    """By bin, what the leaves have there, each with its ratio."""
    found = [0.0] * table.bins
    for place, value in enumerate(values):
        found[place % table.bins] += ratios[place // table.bins] * value
    return found


def _by_bin(places: Sequence[int], table: Calibration) -> list[int]:
    found = [0] * table.bins
    for place in places:
        found[place % table.bins] += 1
    return found


def _expected(levels: Levels, bins: Sequence[int]) -> Figures:
    """Of records in these bins; those of whose bin nothing is known do not count."""
    known = [(n, right, loss) for n, right, loss in zip(bins, *levels, strict=True) if right is not None and n]
    rows = sum(n for n, _, _ in known)
    return Figures(sum(n * right for n, right, _ in known) / rows, sum(n * loss for n, _, loss in known) / rows, rows)


def _ended(state: EstimateState, table: Calibration, last: Key) -> EstimateState:
    """The open block has ended with the record of `last`."""
    levels, blocks, tally = _levels(state, table), state.blocks, state.tally
    if levels is not None and len(blocks) < MOST_BLOCKS:
        blocks = (*blocks, Block(state.first or last, last, levels))
    elif not blocks:
        tally = Tally()  # it is of a block that is not kept
    return state._replace(filled=0, first=None, blocks=blocks, tally=tally)


def _tallied(tally: Tally, table: Calibration, place: int, right: bool, loss: float) -> Tally:
    none = (0,) * table.bins
    rows, rights, losses = list(tally.rows or none), list(tally.right or none), list(tally.loss or (0.0,) * table.bins)
    of_bin = place % table.bins
    rows[of_bin] += 1
    rights[of_bin] += right
    losses[of_bin] += loss
    return Tally(tuple(rows), tuple(rights), tuple(losses))


def _compared(state: EstimateState) -> EstimateState:
    """The labels of the oldest block are known, or enough of them: of each that is, estimate and truth are compared."""
    levels, tally, error = state.blocks[0].levels, state.tally, state.error
    known = [b for b, n in enumerate(tally.rows) if n and levels.right[b] is not None]
    rows = sum(tally.rows[b] for b in known)
    if rows >= FEWEST:
        expected = _expected(levels, tally.rows)
        right, loss = sum(tally.right[b] for b in known), sum(tally.loss[b] for b in known)
        error = Figures(expected.accuracy - right / rows, expected.loss - loss / rows, rows)
    return state._replace(blocks=state.blocks[1:], tally=Tally(), error=error)


def _key(data: Sequence[Any]) -> Key:
    return data[0], data[1]
