"""What a run is given and what it gives: plain values, so that whoever hands jobs on loads no library of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.contracts.control import GateFigures
from shared.contracts.definitions import Model
from shared.contracts.errors import HeadraceError

Report = Callable[[float, str], None]


class FitFailed(HeadraceError):
    """A fitter says why a run came to nothing, or that its process died."""


# What a fit comes to nothing by: a run fails, and whoever asked for it goes on.
FAILURES = (ValueError, ArithmeticError, OSError, RuntimeError, HeadraceError)


def failure_reason(error: BaseException) -> str:
    """What `RunFailed` tells: a fitter's own words, or the kind of error before its text."""
    return str(error) if isinstance(error, FitFailed) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class DecidedRow:
    """A labelled outcome at its position in the order of decision."""

    position: int
    record_id: str
    time_ms: int
    inputs: dict[str, float | str | None]
    label: float | str


@dataclass(frozen=True, slots=True)
class FitJob:
    """What a run reads: labelled rows below the request's position, oldest first, and the version to beat."""

    run_id: str
    model: Model
    input_spec: tuple[tuple[str, Literal["number", "category"]], ...]
    rows: Sequence[DecidedRow]
    since: int | None
    seed: int
    champion: int | None
    champion_artifact: bytes | None


@dataclass(frozen=True, slots=True)
class FitResult:
    artifact: bytes
    family: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    gate: GateFigures
    fitted_from: int
    fitted_to: int
    judged_from: int
    window: str
    windows: dict[str, float]
    dataset_sha256: str
    duration_s: float
    parity_rows: int
    parity_largest: float
    manifest: dict[str, Any]
    unusable_labels: int
