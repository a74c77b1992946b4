"""What monitors compare with: distributions and the bound of the loss over held-back rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from services.training.dataset import Dataset, Kind, LabelledRow
from services.training.evaluation import Loss
from services.training.reference import QUANTILE_KNOTS, reference_inputs, reference_loss


def test_quantiles_and_missing_rates_of_numbers() -> None:
    rows = [LabelledRow(f"r{i:03d}", i, {"x": float(i) if i < 257 else None, "never": None}, 0.0) for i in range(514)]
    data = Dataset.from_rows([("x", "number"), ("never", "number")], rows, "regression")
    reference = reference_inputs(data)
    assert set(reference["numbers"]) == {"x"}
    assert reference["numbers"]["x"]["missing"] == 0.5
    assert len(reference["numbers"]["x"]["quantiles"]) == QUANTILE_KNOTS
    assert reference["numbers"]["x"]["quantiles"] == [float(i) for i in range(257)]


def test_frequencies_of_categories_add_up_with_the_others_and_the_missing() -> None:
    values = [f"common{i % 99:02d}" for i in range(990)] + [f"rare{i}" for i in range(5)] + [None] * 5
    rows = [LabelledRow(f"r{i:04d}", i, {"c": value}, 0.0) for i, value in enumerate(values)]
    [category] = reference_inputs(Dataset.from_rows([("c", "category")], rows, "regression"))["categories"].values()
    assert len(category["frequencies"]) == 100
    assert category["frequencies"]["common00"] == 0.01
    assert category["frequencies"]["rare0"] == 0.001
    assert (category["other"], category["missing"]) == (0.004, 0.005)
    assert sum(category["frequencies"].values()) + 0.009 == pytest.approx(1.0)


def test_the_bound_covers_the_true_mean_in_95_of_100_streams_with_dependent_losses() -> None:
    draw = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        level = np.repeat(draw.normal(0.5, 0.1, 100), 10)
        figures = reference_loss(level + draw.normal(0, 0.02, 1000), Loss("zero_one"))
        covered += figures["upper"] >= 0.5
    # 380 expected; the bounds are four standard errors of a binomial away. As if independent it would be about 280.
    assert 362 <= covered <= 398


def test_loss_figures_carry_their_constants_and_are_json() -> None:
    losses = np.linspace(0.0, 400.0, 100)
    figures = reference_loss(losses, Loss("absolute_error", scale=200.0))
    assert (figures["mean"], figures["rows"], figures["scale"]) == (200.0, 100, 200.0)
    assert figures["mean"] < figures["upper"]
    assert 0.5 < figures["bounded_mean"] < figures["bounded_upper"] <= 1.0
    assert "bounded_mean" not in reference_loss(losses, Loss("absolute_error"))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    with pytest.raises(ValueError, match="too few"):
        reference_loss(losses[:5], Loss("zero_one"))


def test_of_a_view_the_share_of_rows_in_which_it_gives_nothing() -> None:
    spec: list[tuple[str, Kind]] = [
        ("x", "number"),
        ("v.count", "number"),
        ("v.mean", "number"),
        ("v.last", "category"),
    ]
    known = {"x": 0.0, "v.count": 2.0, "v.mean": 0.0, "v.last": None}
    nothing = {"x": 1.0, "v.count": 0.0, "v.mean": None, "v.last": None}
    rows = [LabelledRow(f"r{i:03d}", i, nothing if i % 5 == 0 else known, 0.0) for i in range(100)]
    data = Dataset.from_rows(spec, rows, "regression")
    assert reference_inputs(data, ("v", "w"))["views"] == {
        "v": {"inputs": ["v.count", "v.mean", "v.last"], "empty": 0.2}
    }
    assert "views" not in reference_inputs(data)
