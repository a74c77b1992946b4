"""Training's events of `control.v1`: a run, what it was asked, how far it is, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from shared.contracts.contract import Contract
from shared.contracts.envelope import Event
from shared.contracts.reference import Reference


class RunReason(StrEnum):
    BOOTSTRAP = "bootstrap"
    DRIFT = "drift"
    ROWS = "rows"
    COMMAND = "command"


class RunRequested(Event):
    """A fit is due. It reads the decided outcomes [0, position), whose last has `last_record_id`.

    `since` is the position of the estimated change, if a drift event dates one. `champion` is the version to beat.
    """

    run_id: str
    model: str
    reason: RunReason
    position: int
    last_record_id: str | None = None
    since: int | None = None
    drift_id: str | None = None
    champion: int | None = None
    seed: int
    deadline_ms: int


class RunStarted(Event):
    run_id: str
    model: str
    worker: str


class RunProgressed(Event):
    run_id: str
    model: str
    fraction: Annotated[float, Field(ge=0, le=1)]
    doing: str


class GateFigures(Contract):
    """Losses on the newest matured labels, none of which was fitted on by what they are of; `against` None: the
    constant predictor. The standard error is taken over `blocks` consecutive blocks of rows, which hang together; None:
    as if rows were independent. `seen`: rows that what answers was fitted on, for there were too few others."""

    against: int | None
    rows: int
    candidate_loss: float
    reference_loss: float
    mean_difference: float
    standard_error: float
    blocks: int | None = None
    seen: int = 0


class HeldBackLoss(Contract):
    """Bounded loss on rows held back from the fit: its mean, the upper bound of that, and how many rows."""

    mean: float
    upper: float
    rows: int


class RunFinished(Event):
    """A fitted, exported and checked model: what made it, what it was fitted on, and how it did.

    Of family "average" it is the weighted mean of several fits, and `parameters` list its `members`: family, window,
    parameters, bounded loss and weight of each (without a weight: a plain mean). `judged_from`: the outcomes from this
    position on weighed the fits and gave `metrics`, `gate` and `held_back`, and were fitted on after that, as far as
    they lie below `fitted_to`.

    What monitors compare with: `held_back`; `reference`, the inputs' distribution over the newest rows (numbers as
    evenly spaced quantiles, few of them); and `expected_loss`, what the version is expected to lose on a record
    (format: `shared/contracts/expected_loss.py`). `calibration`: how often it was right, by how sure it was (see
    `shared/contracts/calibration.py`). `classes`: the labels in the order of the outputs, if they are no 0 and 1.
    `unusable_labels`: newest rows that were left out, for their label is none that the task can have.
    """

    run_id: str
    model: str
    artifact: Reference
    family: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    gate: GateFigures
    fitted_from: int
    fitted_to: int
    window: str
    windows: dict[str, float] = {}
    dataset_sha256: str
    seed: int
    duration_s: float
    parity_rows: int
    parity_largest: float
    held_back: HeldBackLoss | None = None
    reference: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()
    judged_from: int | None = None
    expected_loss: dict[str, Any] | None = None
    unusable_labels: int = 0


class RunFailed(Event):
    run_id: str
    model: str
    reason: str
    duration_s: float = 0.0
