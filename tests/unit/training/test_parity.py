"""An export that answers otherwise than the fitted model is stopped, with the row and the difference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from services.training.category_encoding import fit_encoding
from services.training.dataset import Dataset, LabelledRow, Task
from services.training.export import artifact_bytes
from services.training.families import FAMILIES
from services.training.fitted_model import FittedModel
from services.training.parity import ParityError, check_parity
from tests.unit.training.streams import bike_hours, electricity, purchases
from tests.unit.training.test_fit import quick_fit


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_exports_with_categories_and_missing_values_agree_in_every_row(task: Task) -> None:
    data = purchases(1500, task)
    for family in FAMILIES[task]:
        model = quick_fit(data, (family,))
        report = check_parity(model, artifact_bytes(model), data)
        assert report.rows == 1500
        assert report.largest_difference <= report.tolerance


@pytest.mark.parametrize("stream", [electricity, bike_hours])
@pytest.mark.parametrize("family", ["hist_gradient_boosting", "linear"])
def test_exports_of_real_streams_agree_in_rows_that_were_never_fitted(
    stream: Callable[[int], Dataset], family: str
) -> None:
    data = stream(4000)
    model = quick_fit(data[:2000], (family,))
    assert check_parity(model, artifact_bytes(model), data).largest_difference < 2e-6


def test_the_artifact_of_another_model_is_stopped() -> None:
    data = purchases(400, "binary")
    model, other = quick_fit(data), quick_fit(data[:300])
    with pytest.raises(ParityError, match=r"in row 'p\d+': \[0\.\d+\] instead of \[0\.\d+\]") as stopped:
        check_parity(model, artifact_bytes(other), data)
    assert stopped.value.report.row_id in data.ids
    assert stopped.value.report.largest_difference > stopped.value.report.tolerance


def test_one_differing_row_among_thousands_is_found_and_named() -> None:
    data = bike_hours(3000)
    model = quick_fit(data, ("hist_gradient_boosting",), 1)
    artifact = artifact_bytes(model)
    expected = model.predict(data.numbers, data.categories)

    class OffInOneRow:
        def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
            return expected[:, 0] + 0.1 * (np.arange(len(features)) == 1234)

    damaged = dataclasses.replace(model, fitted=dataclasses.replace(model.fitted, estimator=OffInOneRow()))
    with pytest.raises(ParityError, match="in 1 of 3000 rows, most in row '001234'"):
        check_parity(damaged, artifact, data)


def test_native_categories_of_histogram_boosting_convert_wrongly_and_are_stopped() -> None:
    # By name, no threshold separates the labels, so native categories split on sets, which the converter loses.
    labels = [0, 1, 0, 1, 0, 1, 1, 0, 1, 0]
    rows = [LabelledRow(f"r{i:04d}", i, {"c": f"k{i % 10}"}, labels[i % 10]) for i in range(1000)]
    data = Dataset.from_rows([("c", "category")], rows, "binary")
    encoding = fit_encoding("ordinal", data.categories, np.zeros(1000))
    assert list(encoding.vocabularies[0]) == [f"k{i}" for i in range(10)]

    def model_with(native: list[int] | None) -> FittedModel:
        trees: Any = HistGradientBoostingClassifier(categorical_features=native, max_iter=20, early_stopping=False)  # pyright: ignore
        trees.fit(encoding.features(data.numbers, data.categories), data.target)
        fitted = dataclasses.replace(base.fitted, encoding=encoding, estimator=trees)
        return dataclasses.replace(base, fitted=fitted)

    base = quick_fit(data, ("hist_gradient_boosting",), 1)
    plain, wrong = model_with(None), model_with([0])
    assert check_parity(plain, artifact_bytes(plain), data).largest_difference < 1e-6
    with pytest.raises(ParityError) as stopped:
        check_parity(wrong, artifact_bytes(wrong), data)
    assert stopped.value.report.largest_difference > 0.1


def test_an_output_that_is_not_a_number_differs() -> None:
    data = purchases(200, "regression")
    model = quick_fit(data)

    class NotANumber:
        def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
            return np.full(len(features), np.nan)

    damaged = dataclasses.replace(model, fitted=dataclasses.replace(model.fitted, estimator=NotANumber()))
    with pytest.raises(ParityError, match="in 200 of 200 rows"):
        check_parity(damaged, artifact_bytes(model), data)


def test_an_artifact_with_other_classes_or_no_rows_is_refused() -> None:
    data = purchases(300, "multiclass")
    model = quick_fit(data)
    binary = quick_fit(purchases(300, "binary"))
    with pytest.raises(ParityError, match="300 of 300"):
        check_parity(model, artifact_bytes(binary), data)
    with pytest.raises(ValueError, match="without rows"):
        check_parity(model, artifact_bytes(model), data[:0])
