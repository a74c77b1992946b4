"""An entity's events of one kind in the order of time, as immutable views of buffers that only grow."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from operator import sub
from typing import Any, NamedTuple

_SMALLEST_COMPACTION = 64


class Series(NamedTuple):
    """Events [start, end) of the buffers. Nothing in that range ever changes, so that older states stay what they were.

    `values` is None where only times count, `orders` None where ties in time make no difference. `numeric`: every
    value is a float. A newer event is appended behind `end` to the same buffers, unless another state was there first.
    """

    times: list[int]
    values: list[float | str] | None
    orders: list[str] | None
    start: int
    end: int
    numeric: bool

    @classmethod
    def empty(cls, valued: bool, ordered: bool) -> Series:
        return cls([], [] if valued else None, [] if ordered else None, 0, 0, True)

    def with_event(self, time_ms: int, order: str, value: float | str | None) -> Series:
        """This series with an event in its place by (time, order). `value` is None where only times count."""
        times, values, orders, start, end, numeric = self
        at = self._place(time_ms, order)
        if len(times) != end or at != end:
            times, values, orders = self._copied(start)
            at, start, end = at - start, 0, end - start
        if orders is not None:
            orders.insert(at, order)
        if values is not None and value is not None:
            values.insert(at, value)
            numeric = numeric and type(value) is float
        times.insert(at, time_ms)
        return Series(times, values, orders, start, end + 1, numeric)

    def _place(self, time_ms: int, order: str) -> int:
        times, orders, start, end = self.times, self.orders, self.start, self.end
        if start == end or times[end - 1] < time_ms:
            return end
        after = bisect_right(times, time_ms, start, end)
        if orders is None:
            return after
        return bisect_right(orders, order, bisect_left(times, time_ms, start, after), after)

    def from_time(self, time_ms: int) -> Series:
        """This series without what is earlier than `time_ms`."""
        start = bisect_left(self.times, time_ms, self.start, self.end)
        if start == self.start:
            return self
        if start < _SMALLEST_COMPACTION or 2 * start < len(self.times):
            return self._replace(start=start)
        return Series(*self._copied(start), 0, self.end - start, self.numeric)

    def _copied(self, start: int) -> tuple[list[int], list[float | str] | None, list[str] | None]:
        """Buffers of its own, from `start` on."""
        keep = slice(start, self.end)
        return (
            self.times[keep],
            None if self.values is None else self.values[keep],
            None if self.orders is None else self.orders[keep],
        )

    def newest_before(self, time_ms: int) -> int | None:
        """The newest event time before `time_ms`."""
        at = bisect_left(self.times, time_ms, self.start, self.end)
        return self.times[at - 1] if at > self.start else None

    def as_json(self) -> dict[str, Any]:
        """`t`: the first time, then the gaps between; `v`: values; `o`: orders."""
        times, values, orders = self._copied(self.start)
        json: dict[str, Any] = {"t": [*times[:1], *map(sub, times[1:], times)]}
        if values is not None:
            json["v"] = values
        if orders is not None:
            json["o"] = orders
        return json

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> Series:
        """The series of `as_json`. Whole floats may have come back as integers."""
        times, values, orders = list(accumulate(json["t"])), json.get("v"), json.get("o")
        if values is not None:
            values = [float(value) if type(value) is int else value for value in values]
        numeric = values is None or str not in set(map(type, values))
        return cls(times, values, None if orders is None else list(orders), 0, len(times), numeric)
