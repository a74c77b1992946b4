from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.training.dataset import Dataset, Kind, LabelledRow
from services.training.expected_loss import expected_loss
from shared.contracts.expected_loss import ExpectedLoss

SPEC: list[tuple[str, Kind]] = [("x", "number"), ("weight", "number"), ("kind", "category")]
PERIOD = 2_000


def season(count: int, seed: int) -> tuple[Dataset, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rows of whose season x tells, 0/1 losses whose mean swings by 3 points with it, and the chance of each."""
    rng, rows = np.random.default_rng(seed), list[LabelledRow]()
    x = np.sin(2.0 * np.pi * (rng.integers(PERIOD) + np.arange(count)) / PERIOD)
    for i in range(count):
        weight = None if rng.random() < 0.1 else float(rng.standard_normal())
        inputs: dict[str, Any] = {"x": float(x[i]), "weight": weight, "kind": rng.choice(["a", "b"]).item()}
        rows.append(LabelledRow(f"r{i:05d}", i, inputs, 0.0))
    chance = 0.1 + 0.03 * x
    losses = (rng.random(count) < chance).astype(np.float64)
    return Dataset.from_rows(SPEC, rows, "regression"), losses, chance


def fitted(rows: Dataset, losses: npt.NDArray[np.float64]) -> ExpectedLoss:
    found = expected_loss(rows, np.zeros((len(rows), 1)), losses)
    assert found is not None
    return ExpectedLoss.from_json(json.loads(json.dumps(found, allow_nan=False)))


def of_all(expected: ExpectedLoss, rows: Dataset) -> npt.NDArray[np.float64]:
    numbers, categories = rows.numbers.astype(np.float64), rows.categories
    return np.array(
        [
            expected.of(
                {
                    "x": numbers[i, 0],
                    "weight": None if math.isnan(numbers[i, 1]) else numbers[i, 1],
                    "kind": categories[i, 0],
                },
                [0.0],
            )
            for i in range(len(rows))
        ]
    )


def test_a_season_that_the_inputs_show_is_expected() -> None:
    rows, losses, _ = season(5_000, 1)
    expected = fitted(rows, losses)
    fresh, _, chance = season(4_000, 2)
    off = of_all(expected, fresh) - chance
    assert float(off.std()) < 0.015  # that of the season is 0.021
    assert float(np.corrcoef(off + chance, chance)[0, 1]) > 0.7
    assert expected.cap == pytest.approx(1.25 * losses.mean(), rel=1e-6)


def test_where_no_input_says_anything_little_more_than_the_mean_is_expected() -> None:
    rows, losses, _ = season(5_000, 3)
    shuffled = np.random.default_rng(4).permutation(losses)
    assert float(np.abs(of_all(fitted(rows, shuffled), rows) - losses.mean()).mean()) < 0.01


def test_categories_count_and_unknown_or_missing_ones_are_expected_to_lose_something_sensible() -> None:
    rng = np.random.default_rng(5)
    rows = [LabelledRow(f"r{i:04d}", i, {"kind": "ab"[i % 2]}, 0.0) for i in range(1_000)]
    losses = np.array([float(rng.random() < (0.05 if i % 2 else 0.4)) for i in range(1_000)])
    expected = fitted(Dataset.from_rows([("kind", "category")], rows, "regression"), losses)
    assert expected.of({"kind": "a"}, [0.0]) == pytest.approx(0.4, abs=0.06)
    assert expected.of({"kind": "b"}, [0.0]) == pytest.approx(0.05, abs=0.04)
    for unknown in ({"kind": "c"}, {"kind": None}, {"kind": ""}, {}):
        assert 0.0 <= expected.of(unknown, []) <= 0.45


def test_the_models_own_outputs_say_how_sure_it_is() -> None:
    rng = np.random.default_rng(6)
    rows = [LabelledRow(f"r{i:04d}", i, {"x": 0.0}, 0.0) for i in range(2_000)]
    said = rng.random(2_000)
    losses = np.minimum(said, 1.0 - said)
    found = expected_loss(Dataset.from_rows([("x", "number")], rows, "regression"), said[:, None], losses)
    assert found is not None
    expected = ExpectedLoss.from_json(found)
    assert expected.of({"x": 0.0}, [0.5]) > 0.35
    assert expected.of({"x": 0.0}, [0.02]) < 0.12


@pytest.mark.parametrize("losses", [np.zeros(500), np.full(500, math.nan), np.arange(100) % 2.0])
def test_of_losses_that_are_alike_not_finite_or_few_nothing_is_fitted(losses: npt.NDArray[np.float64]) -> None:
    rows, _, _ = season(len(losses), 7)
    assert expected_loss(rows, np.zeros((len(rows), 1)), losses) is None


def test_it_does_not_matter_how_the_values_of_an_input_are_spread() -> None:
    rows, losses, _ = season(5_000, 8)
    stretched = replace(rows, numbers=np.exp(20.0 * rows.numbers).astype(np.float32))
    plain, other = fitted(rows, losses), fitted(stretched, losses)
    assert len(plain.trees) > 0
    assert of_all(other, stretched) == pytest.approx(of_all(plain, rows), abs=1e-9)


def test_where_an_input_is_missing_there_is_an_expectation_of_its_own() -> None:
    rng = np.random.default_rng(9)
    missing = rng.random(2_000) < 0.3
    given = [{"x": None if gone else float(rng.standard_normal())} for gone in missing]
    rows = Dataset.from_rows(
        [("x", "number")], [LabelledRow(f"r{i:04d}", i, one, 0.0) for i, one in enumerate(given)], "regression"
    )
    losses = (rng.random(2_000) < np.where(missing, 0.5, 0.1)).astype(np.float64)
    expected = fitted(rows, losses)
    assert expected.of({"x": None}, [0.0]) == pytest.approx(0.5, abs=0.08)
    assert expected.of({"x": 0.0}, [0.0]) == pytest.approx(0.1, abs=0.05)


def test_residuals_weigh_less_where_much_is_expected_and_never_fall_below_the_cap() -> None:
    expected = ExpectedLoss(0.1, 0.2, (), ())
    assert expected.residual(1.0, 0.1) == pytest.approx(0.9)
    assert expected.residual(0.0, 0.8) == pytest.approx(-0.2)
    assert expected.residual(0.8, 0.8) == 0.0
    assert all(expected.residual(0.0, e) >= -0.2 - 1e-12 for e in np.linspace(0.0, 1.0, 101))


@pytest.mark.parametrize(
    "broken",
    [
        {"base": 2.0}, {"cap": 0.0}, {"trees": [[[0, 0.0, 5, 1, True, 0.0]]]}, {"trees": [[]]},
        {"trees": [[[0, 0.0, 0, 0, True, 0.0]]]}, {"trees": [[[0, 0.0, -1, -1, True, math.nan]]]},
        {"trees": [[[3, 0.0, 1, 2, True, 0.0], [0, 0.0, -1, -1, True, 0.0], [0, 0.0, -1, -1, True, 0.0]]]},
    ],
)  # fmt: skip
def test_what_is_no_such_model_is_refused(broken: dict[str, Any]) -> None:
    whole = {"base": 0.1, "cap": 0.2, "columns": [{"input": "x"}], "trees": []}
    with pytest.raises(ValueError, match=r"base|node"):
        ExpectedLoss.from_json({**whole, **broken})


def test_of_many_categories_the_frequent_ones_are_kept_and_only_columns_that_a_tree_uses() -> None:
    rng = np.random.default_rng(8)
    rows, losses = list[LabelledRow](), list[float]()
    for i in range(3_000):
        kind = f"common{i % 3}" if i % 4 else f"rare{i}"
        rows.append(LabelledRow(f"r{i:04d}", i, {"kind": kind, "constant": 1.0}, 0.0))
        losses.append(float(rng.random() < (0.6 if kind == "common1" else 0.1)))
    spec: list[tuple[str, Kind]] = [("constant", "number"), ("kind", "category")]
    found = expected_loss(Dataset.from_rows(spec, rows, "regression"), np.zeros((3_000, 1)), np.array(losses))
    assert found is not None
    assert [column.get("input") for column in found["columns"]] == ["kind"]
    assert len(found["columns"][0]["means"]) == 100
    expected = ExpectedLoss.from_json(found)
    assert expected.of({"kind": "common1"}, [0.0]) > 0.4
    assert expected.of({"kind": "never seen"}, [0.0]) == expected.of({"kind": "rare2996"}, [0.0])


@pytest.mark.parametrize("residual", [-0.2, -0.1, 0.0, 0.5, 1.0])
def test_a_residual_comes_back_from_the_unit_interval(residual: float) -> None:
    expected = ExpectedLoss(0.1, 0.2, (), ())
    assert 0.0 <= expected.to_unit(residual) <= 1.0
    assert expected.of_unit(expected.to_unit(residual)) == pytest.approx(residual)
