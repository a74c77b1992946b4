"""How often a model is right, counted on rows that its fit has not seen."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from services.training.calibration import FEWEST_ROWS, calibration
from services.training.dataset import Dataset, LabelledRow, Task
from services.training.fit_job import run_job
from shared.contracts.calibration import Calibration
from tests.unit.training.streams import purchases
from tests.unit.training.test_fit_job import job, rows, silent


def dataset(inputs: list[dict[str, Any]], labels: list[Any], task: Task = "binary") -> Dataset:
    made = [LabelledRow(f"r{i:05}", i, row, label) for i, (row, label) in enumerate(zip(inputs, labels, strict=True))]
    return Dataset.from_rows([("x", "number"), ("kind", "category")], made, task)


def noisy(count: int, seed: int) -> tuple[Dataset, np.ndarray]:
    """Of kind b half of the labels are wrong, of kind a none; the scores, 0.1 and 0.9, say nothing of it."""
    rng = np.random.default_rng(seed)
    kinds, said = rng.choice(["a", "b"], count).tolist(), rng.random(count) < 0.5
    labels = [bool(s) ^ bool(k == "b" and rng.random() < 0.5) for s, k in zip(said, kinds, strict=True)]
    inputs = [{"x": float(rng.random()), "kind": k} for k in kinds]
    return dataset(inputs, labels), np.where(said, 0.9, 0.1)[:, None]


def table(data: Dataset, outputs: np.ndarray, classes: tuple[str, ...] = ()) -> Calibration:
    made = calibration(data, outputs, np.full(len(data), 0.25), classes)
    assert made is not None
    return Calibration.from_json(json.loads(json.dumps(made, allow_nan=False)))


def test_a_region_where_the_model_is_wrong_more_often_is_found_and_counted() -> None:
    data, outputs = noisy(1_000, 1)
    found = table(data, outputs)
    a, b = (found.place({"x": 0.5, "kind": kind}, [0.9]) for kind in "ab")
    assert a is not None
    assert b is not None
    assert a // found.bins != b // found.bins
    right = {
        kind: sum(
            y == (p >= 0.5)
            for y, p, k in zip(data.target, outputs[:, 0], data.categories[:, 0], strict=True)
            if k == kind and p == 0.9
        )
        for kind in "ab"
    }
    assert found.counts.hits[a] == found.counts.rows[a] == right["a"]
    assert found.counts.hits[b] == right["b"] < 0.65 * found.counts.rows[b]
    assert sum(found.counts.rows) == 1_000
    assert sum(found.counts.loss) == pytest.approx(250.0)


def test_where_no_input_says_anything_there_is_one_region() -> None:
    rng = np.random.default_rng(2)
    said = rng.random(2_000)
    data = dataset([{"x": float(x), "kind": "a"} for x in rng.random(2_000)], list(rng.random(2_000) < said))
    found = table(data, said[:, None])
    assert (found.leaves, found.columns) == (1, ())
    assert found.bins in (10, 11)


def test_every_row_is_where_it_is_looked_up_also_in_float32() -> None:
    data, _ = noisy(600, 3)
    rng = np.random.default_rng(4)
    said = np.clip(rng.choice([0.07, 0.33, 0.5, 0.51, 0.86], 600), 0, 1)[:, None]
    found, counted = table(data, said), [0] * 200
    for i in range(600):
        inputs = {"x": float(data.numbers[i, 0]), "kind": data.categories[i, 0]}
        place = found.place(inputs, [float(np.float32(said[i, 0]))])
        assert place is not None
        counted[place] += 1
    assert tuple(counted[: len(found.counts.rows)]) == found.counts.rows


def test_of_several_classes_a_hit_is_the_largest_probability() -> None:
    data = purchases(900, "multiclass")
    classes = tuple(sorted(set(data.target.tolist())))
    rng = np.random.default_rng(5)
    outputs = rng.dirichlet([1.0] * len(classes), 900)
    found = table(data, outputs, classes)
    assert found.outputs == len(classes)
    expected = sum(classes[i] == label for i, label in zip(outputs.argmax(axis=1), data.target, strict=True))
    assert sum(found.counts.hits) == expected


def test_of_too_few_rows_one_class_or_what_is_not_finite_nothing_is_counted() -> None:
    data, outputs = noisy(1_000, 6)
    losses = np.full(1_000, 0.1)
    few = FEWEST_ROWS - 1
    assert calibration(data[:few], outputs[:few], losses[:few], ()) is None
    assert calibration(data[:FEWEST_ROWS], outputs[:FEWEST_ROWS], losses[:FEWEST_ROWS], ()) is not None
    for broken in (math.nan, math.inf):
        assert calibration(data, np.where(np.arange(1_000)[:, None] == 7, broken, outputs), losses, ()) is None
        assert calibration(data, outputs, np.where(np.arange(1_000) == 7, broken, losses), ()) is None
    one = dataset([{"x": 0.0, "kind": "a"}] * 500, [False] * 500)
    assert calibration(one, np.full((500, 1), 0.1), np.full(500, 0.1), ()) is None


def test_a_fit_counts_rows_that_it_has_not_seen_and_a_regression_none() -> None:
    small = run_job(job(rows(1_000)), silent)
    found = Calibration.from_json(small.manifest["calibration"])
    assert sum(found.counts.rows) == small.gate.rows
    again = run_job(job(rows(1_000)), silent)
    assert again.manifest["calibration"] == small.manifest["calibration"]
    assert "calibration" in small.manifest
    few = run_job(job(rows(150)), silent)
    assert few.manifest["calibration"] is None
