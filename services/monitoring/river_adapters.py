"""Each of river's detectors as an object that can be put away as text and taken up again, equal bit for bit.

This is the one module that loads river, and only when a detector is opened. It is written for river 0.26: PageHinkley
and KSWIN keep their state in plain attributes; ADWIN, which is compiled, gives it as bytes, numbers one after the other
(no pickle: reading them runs nothing). All restart empty after a detection, so a state is always between two of them.
"""

from __future__ import annotations

import base64
import json
import random
import struct
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from services.monitoring.river_missing import installed, what_to_do
from shared.contracts.detectors import Detector
from shared.contracts.errors import HeadraceError

Parameters = Mapping[str, int | float]
_TWISTER = struct.Struct("<625I")  # the words of random.Random: 624, and the place among them


class RiverMissing(HeadraceError):
    """A detector of river's is asked for where river is not installed."""

    def __init__(self, detector: str) -> None:
        super().__init__(f"detector {detector} is river's, and river is not installed here. {what_to_do()}")


class SinceChange(NamedTuple):
    """`number` losses since the change that was just detected; `position` of the first, None where nobody kept it."""

    number: int
    total: float
    position: int | None = None


class Adapter(Protocol):
    """`statistic` and `threshold`: what the detector compares; 0 where it compares no such figures."""

    threshold: float

    def update(self, loss: float, position: int) -> bool:
        """The next loss; whether a change was detected."""
        ...

    def since_change(self) -> SinceChange:
        """Right after a detection."""
        ...

    @property
    def statistic(self) -> float: ...

    def stored(self) -> str:
        """The state as text; before the first loss, and after a detection, there is none to ask for."""
        ...


def opened(detector: Detector, parameters: Parameters, stored: str | None) -> Adapter:
    """A detector as it was put away; fresh if `stored` is None. Raises RiverMissing."""
    if not installed():
        raise RiverMissing(detector)
    match detector:
        case Detector.ADWIN:
            return _Adwin(parameters, stored)
        case Detector.PAGE_HINKLEY:
            return _PageHinkley(parameters, stored)
        case Detector.KSWIN:
            return _Kswin(parameters, stored)
        case Detector.E_DETECTOR:
            raise ValueError("e_detector is no detector of river's")


class _Adwin:
    threshold = 0.0
    statistic = 0.0

    def __init__(self, parameters: Parameters, stored: str | None) -> None:
        from river import drift

        self._adwin: Any = drift.ADWIN(**parameters)  # pyright: ignore[reportArgumentType]
        if stored is not None:
            self._adwin._helper.__setstate__(base64.b64decode(stored))

    def update(self, loss: float, position: int) -> bool:
        self._adwin.update(loss)
        return self._adwin.drift_detected

    def since_change(self) -> SinceChange:
        return SinceChange(int(self._adwin.width), float(self._adwin.total))

    def stored(self) -> str:
        return base64.b64encode(self._adwin._helper.__getstate__()).decode()


class _PageHinkley:
    """With where its cumulated sum was lowest: the losses since are those since the change."""

    def __init__(self, parameters: Parameters, stored: str | None) -> None:
        from river import drift, stats

        self._test: Any = drift.PageHinkley(**parameters, mode="up")  # pyright: ignore[reportArgumentType]
        self.threshold = float(parameters["threshold"])
        self._count, self._total = 0, 0.0
        self._low_count, self._low_total, self._after_low = 0, 0.0, 0
        if stored is None:
            return
        test, (n, mean, up, down, lowest, highest, *own) = self._test, json.loads(stored)
        test._x_mean = stats.Mean._from_state(n, mean)
        test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease = up, down, lowest, highest
        self._count, self._total, self._low_count, self._low_total, self._after_low = own

    def update(self, loss: float, position: int) -> bool:
        test = self._test
        test.update(loss)
        self._count += 1
        self._total += loss
        if test._sum_increase == test._min_increase:
            self._low_count, self._low_total, self._after_low = self._count, self._total, position + 1
        return test.drift_detected

    @property
    def statistic(self) -> float:
        return self._test._sum_increase - self._test._min_increase

    def since_change(self) -> SinceChange:
        return SinceChange(self._count - self._low_count, self._total - self._low_total, self._after_low)

    def stored(self) -> str:
        test = self._test
        sums = (test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease)
        own = (self._count, self._total, self._low_count, self._low_total, self._after_low)
        return json.dumps((test._x_mean.n, test._x_mean.get(), *sums, *own))


class _Kswin:
    threshold = 0.0
    statistic = 0.0

    def __init__(self, parameters: Parameters, stored: str | None) -> None:
        from river import drift

        self._kswin: Any = drift.KSWIN(**parameters)  # pyright: ignore[reportArgumentType]
        if stored is None:
            return
        kept = json.loads(stored)
        self._kswin.n = kept["n"]
        self._kswin.window = deque(kept["window"], maxlen=self._kswin.window_size)
        words = _TWISTER.unpack(base64.b64decode(kept["random"]))
        self._kswin._rng.setstate((random.Random.VERSION, words, None))

    def update(self, loss: float, position: int) -> bool:
        self._kswin.update(loss)
        return self._kswin.drift_detected

    def since_change(self) -> SinceChange:
        newest = self._kswin.window  # a detection leaves those that differ from the ones before
        return SinceChange(len(newest), sum(newest))

    def stored(self) -> str:
        words = base64.b64encode(_TWISTER.pack(*self._kswin._rng.getstate()[1])).decode()
        return json.dumps({"n": self._kswin.n, "window": list(self._kswin.window), "random": words})
