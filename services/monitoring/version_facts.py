"""What a version's run says for the monitors, read once for each version.

What cannot be read counts as not said: a monitor less, or an alarm without an explanation, is worth more than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from services.monitoring.feature_reference import FeatureReference, read_reference
from services.monitoring.feature_statistics import Statistics, statistics_of
from shared.contracts.calibration import Calibration
from shared.contracts.expected_loss import ExpectedLoss
from shared.contracts.platform import ModelState

Fact = TypeVar("Fact")


class VersionFacts:
    """Of any model's versions, by run and artifact."""

    def __init__(self) -> None:
        self._read: dict[tuple[Any, ...], Any] = {}

    def reference(self, decided: ModelState, version: int) -> FeatureReference | None:
        """What its inputs looked like."""
        known = decided.versions.get(version)
        if known is None or known.reference is None:
            return None
        return self._once(("reference", known.run_id, known.artifact.sha256), read_reference, known.reference)

    def expected_loss(self, decided: ModelState, version: int) -> ExpectedLoss | None:
        """What it is expected to lose; None as well where that is the same for every record."""
        known = decided.versions.get(version)
        if known is None or known.expected_loss is None:
            return None
        key = ("expected loss", known.run_id, known.artifact.sha256)
        found = self._once(key, ExpectedLoss.from_json, known.expected_loss)
        return found if found is not None and found.trees else None

    def calibration(self, decided: ModelState, version: int) -> Calibration | None:
        """How often it is right, by region and score."""
        known = decided.versions.get(version)
        if known is None or known.calibration is None:
            return None
        return self._once(
            ("calibration", known.run_id, known.artifact.sha256), Calibration.from_json, known.calibration
        )

    def statistics(self, decided: ModelState, version: int, expected_run_length: float) -> Statistics | None:
        """What is monitored of its inputs; None: there is no reference, or one of too few rows."""
        reference = self.reference(decided, version)
        if reference is None:
            return None
        known = decided.versions[version]
        key = ("statistics", known.run_id, known.artifact.sha256, expected_run_length)
        if key not in self._read:
            self._read[key] = statistics_of(reference, expected_run_length)
        return self._read[key]

    def _once(
        self, key: tuple[Any, ...], read: Callable[[Mapping[str, Any]], Fact], data: Mapping[str, Any]
    ) -> Fact | None:
        if key not in self._read:
            self._read[key] = _tried(read, data)
        return self._read[key]


class NoFacts(VersionFacts):
    """Where the inputs of the records are not at hand: nothing is said of them."""

    def reference(self, decided: ModelState, version: int) -> FeatureReference | None:
        return None

    def expected_loss(self, decided: ModelState, version: int) -> ExpectedLoss | None:
        return None


def _tried(read: Callable[[Mapping[str, Any]], Fact], data: Mapping[str, Any]) -> Fact | None:
    try:
        return read(data)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
