"""River's ADWIN (Bifet and Gavalda 2007), with its own settings, as what stands beside our monitors."""

from __future__ import annotations

import math
import time

from river.drift import ADWIN

from tests.benchmarks._streams import Values


class Watch:
    """One detector, its alarms so far, and the processor time that it took."""

    def __init__(self) -> None:
        self._detector, self.alarms, self.seconds = ADWIN(), 0, 0.0

    def take(self, values: Values) -> None:
        """Count the alarms on these."""
        given, began = values.tolist(), time.process_time()
        for value in given:
            self._detector.update(value)
            self.alarms += self._detector.drift_detected
        self.seconds += time.process_time() - began

    def first_of(self, values: Values) -> float:
        """How many of these it takes to an alarm; infinite, if there is none."""
        for count, value in enumerate(values.tolist(), start=1):
            self._detector.update(value)
            if self._detector.drift_detected:
                return float(count)
        return math.inf
