"""Which detector watches a model's loss, and what each of river's takes: names, limits and defaults.

`e_detector` is Headrace's own and the only one with a guarantee. The others are river's; here stand the names of their
constructors' arguments, so that a definition is checked without loading river. Left out are those that Headrace fixes:
PageHinkley's `mode` (only a rise of the loss is drift) and KSWIN's `window`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from shared.contracts.definition_problem import did_you_mean


class Detector(StrEnum):
    E_DETECTOR = "e_detector"
    ADWIN = "adwin"
    PAGE_HINKLEY = "page_hinkley"
    KSWIN = "kswin"


class Parameter(NamedTuple):
    """A number that a detector takes: from `lowest` to `highest`, both included. `default` of an integer is one."""

    default: int | float
    lowest: float
    highest: float

    @property
    def whole(self) -> bool:
        return isinstance(self.default, int)


_LEAST = 1e-12
_MANY = 1e9
# A detector's memory is bounded by these limits: KSWIN keeps `window_size` losses, ADWIN `max_buckets` a size.
PARAMETERS: Mapping[Detector, Mapping[str, Parameter]] = MappingProxyType({
    Detector.E_DETECTOR: {},
    Detector.ADWIN: {
        "delta": Parameter(0.002, _LEAST, 1.0),
        "clock": Parameter(32, 1, _MANY),
        "max_buckets": Parameter(5, 2, 100),
        "min_window_length": Parameter(5, 1, _MANY),
        "grace_period": Parameter(10, 0, _MANY),
    },
    Detector.PAGE_HINKLEY: {
        "min_instances": Parameter(30, 1, _MANY),
        "delta": Parameter(0.005, 0.0, 1.0),
        "threshold": Parameter(50.0, _LEAST, _MANY),
        "alpha": Parameter(0.9999, _LEAST, 1.0),
    },
    Detector.KSWIN: {
        "alpha": Parameter(0.005, 0.0, 1.0),
        "window_size": Parameter(100, 4, 10_000),
        "stat_size": Parameter(30, 2, 5_000),
        "seed": Parameter(7, 0, 2.0**53),
    },
})  # fmt: skip


def complete(detector: Detector, given: Mapping[str, int | float]) -> dict[str, int | float]:
    """Every parameter of a detector, in the order of the table, with the defaults of those that are not given.

    Raises ValueError: which name or number does not fit, and what does.
    """
    table = PARAMETERS[detector]
    for name, value in given.items():
        if not table:
            raise ValueError(
                f"detector_parameters: {detector} takes none; it is set by expected_run_length, tolerance and "
                "reference_outcomes"
            )
        if name not in table:
            raise ValueError(f"detector_parameters: {detector} has no parameter {name!r}; {did_you_mean(name, table)}")
        _checked(detector, name, value, table[name])
    found = {name: given.get(name, parameter.default) for name, parameter in table.items()}
    if detector is Detector.KSWIN and found["window_size"] < 2 * found["stat_size"]:
        raise ValueError(
            f"detector_parameters: window_size {found['window_size']} holds no two samples of stat_size "
            f"{found['stat_size']}: make it at least {2 * found['stat_size']}"
        )
    return {name: value if table[name].whole else float(value) for name, value in found.items()}


def _checked(detector: Detector, name: str, value: int | float, parameter: Parameter) -> None:
    if parameter.whole and not isinstance(value, int):
        raise ValueError(f"detector_parameters: {name} of {detector} is a whole number, and {value} is none")
    if not parameter.lowest <= value <= parameter.highest:
        raise ValueError(
            f"detector_parameters: {name} of {detector} is {value}; it lies from {parameter.lowest:g} to "
            f"{parameter.highest:g}"
        )
