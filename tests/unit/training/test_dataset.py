"""Rows become columns by one rule, in one order, with one digest."""

from __future__ import annotations

import numpy as np
import pytest

from services.training.dataset import Dataset, Kind, LabelledRow, LabelMismatch, Task
from shared.runtime.onnx_model import InputTypeMismatch

SPEC: list[tuple[str, Kind]] = [("amount", "number"), ("shop", "category"), ("abroad", "number")]


def row(number: int, label: float | str = 1, **inputs: float | str | bool | None) -> LabelledRow:
    return LabelledRow(f"r{number}", number * 1000, {"amount": 1.5, "shop": "food", "abroad": True, **inputs}, label)


def test_booleans_missing_values_and_what_float32_cannot_hold() -> None:
    rows = [row(1, amount=None), row(2, abroad=False, shop=None), row(3, amount=1e300), row(4, amount=10**400)]
    data = Dataset.from_rows(SPEC, rows, "binary")
    assert data.numbers.dtype == np.float32
    np.testing.assert_array_equal(data.numbers, [[np.nan, 1], [1.5, 0], [np.nan, 1], [np.nan, 1]])
    assert data.categories.tolist() == [["food"], [""], ["food"], ["food"]]
    assert (data.number_names, data.category_names) == (("amount", "abroad"), ("shop",))


def test_an_absent_input_counts_as_missing() -> None:
    data = Dataset.from_rows(SPEC, [LabelledRow("a", 0, {}, 0)], "binary")
    assert np.isnan(data.numbers).all()
    assert data.categories.tolist() == [[""]]


def test_rows_are_ordered_by_time_then_id_and_sliced_by_position() -> None:
    data = Dataset.from_rows(SPEC, [row(3), row(1), row(2)], "binary")
    assert data.ids == ("r1", "r2", "r3")
    assert data[1:].ids == ("r2", "r3")
    assert data[1:].time_ms.tolist() == [2000, 3000]
    assert len(data[:2]) == 2


def test_the_digest_depends_on_every_part_of_every_row_and_on_nothing_else() -> None:
    rows = [row(1), row(2, amount=None), row(3, amount=0.0)]
    digest = Dataset.from_rows(SPEC, rows, "binary").digest()
    assert Dataset.from_rows(SPEC, rows[::-1], "binary").digest() == digest
    assert Dataset.from_rows(SPEC, [*rows[:2], row(3, amount=-0.0)], "binary").digest() == digest
    others = [row(3, amount=0.5), row(3, shop="web"), row(3, 0), row(4, amount=0.0), row(3, abroad=None)]
    digests = {Dataset.from_rows(SPEC, [*rows[:2], other], "binary").digest() for other in others}
    assert len(digests | {digest}) == 6
    assert Dataset.from_rows(SPEC, rows, "regression").digest() != digest


def test_targets_by_task() -> None:
    assert Dataset.from_rows(SPEC, [row(1, True), row(2, 0.0)], "binary").target.tolist() == [1, 0]
    multiclass = Dataset.from_rows(SPEC, [row(1, "b"), row(2, 3), row(3, 3.0), row(4, False)], "multiclass")
    assert multiclass.target.tolist() == ["b", "3", "3", "false"]
    assert Dataset.from_rows(SPEC, [row(1, 2.5)], "regression").target.tolist() == [2.5]


@pytest.mark.parametrize(("task", "label"), [("binary", 2), ("binary", "1"), ("regression", float("nan"))])
def test_a_label_that_does_not_fit_the_task_names_its_row(task: Task, label: float | str) -> None:
    with pytest.raises(LabelMismatch, match="'r1'"):
        Dataset.from_rows(SPEC, [row(1, label)], task)


@pytest.mark.parametrize(("name", "value"), [("amount", "12"), ("shop", 12)])
def test_a_value_of_the_wrong_kind_names_its_input(name: str, value: float | str) -> None:
    with pytest.raises(InputTypeMismatch, match=name):
        Dataset.from_rows(SPEC, [row(1, **{name: value})], "binary")
