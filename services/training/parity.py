"""The artifact against the original, on every evaluation row: an artifact that answers otherwise becomes no version."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.training.dataset import Dataset
from services.training.fitted_model import FittedModel
from shared.runtime.onnx_model import OnnxModel

# Probabilities: absolute. A sum of float32 leaf values or products stays within 1e-6; one flipped tree exceeds this.
PROBABILITY_TOLERANCE = 1e-5
# Regression: relative to the larger of the row's own output and the mean absolute output over all rows.
VALUE_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class ParityReport:
    """`largest_difference` is in the unit of `tolerance`: absolute for probabilities, relative for values."""

    rows: int
    largest_difference: float
    row_id: str
    tolerance: float


class ParityError(ValueError):
    """The exported model differs from the original."""

    def __init__(self, report: ParityReport, differing_rows: int, expected: list[float], got: list[float]) -> None:
        self.report = report
        super().__init__(
            f"the ONNX export differs from the fitted model in {differing_rows} of {report.rows} rows, most in row "
            f"{report.row_id!r}: {got} instead of {expected}, off by {report.largest_difference:.3g} where "
            f"{report.tolerance:.0e} is tolerated. No version is made of it; leave the family out of `training.search`."
        )


def check_parity(model: FittedModel, onnx_bytes: bytes, dataset: Dataset) -> ParityReport:
    """Compares every row of the dataset. Raises ParityError; ArtifactUnreadable (shared.runtime.onnx_model);
    ValueError if there are no rows."""
    if len(dataset) == 0:
        raise ValueError("parity can't be checked without rows. Give the evaluation rows.")
    expected = model.predict(dataset.numbers, dataset.categories)
    got = OnnxModel(onnx_bytes).predict_columns(dataset.numbers, dataset.categories).astype(np.float64)
    tolerance = VALUE_TOLERANCE if model.task == "regression" else PROBABILITY_TOLERANCE
    if got.shape != expected.shape:
        raise ParityError(ParityReport(len(dataset), np.inf, dataset.ids[0], tolerance), len(dataset), [], [])
    difference = np.abs(got - expected)
    if model.task == "regression":
        size = np.maximum(np.abs(expected), np.abs(expected).mean())
        difference = np.divide(difference, size, out=difference, where=size > 0.0)
    # What is not a number differs from everything.
    of_row = np.where(np.isnan(difference), np.inf, difference).max(axis=1)
    worst = int(of_row.argmax())
    report = ParityReport(len(dataset), float(of_row[worst]), dataset.ids[worst], tolerance)
    if report.largest_difference > tolerance:
        differing = int((of_row > tolerance).sum())
        raise ParityError(report, differing, expected[worst].tolist(), got[worst].tolist())
    return report
