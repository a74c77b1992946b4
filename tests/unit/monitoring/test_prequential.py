from __future__ import annotations

import json
import math
import random

import pytest

from services.monitoring import prequential
from services.monitoring.prequential import PrequentialState


def test_totals_window_and_fading_follow_their_definitions() -> None:
    rng = random.Random(1)
    rows = [rng.random() for _ in range(345)]
    state = prequential.start(("loss",), window=100, blocks=10, fading=0.9)
    for row in rows:
        state = prequential.update(state, "v1", {"loss": row})
    figures = prequential.figures(state, "v1")
    assert figures.total.values["loss"] == pytest.approx(sum(rows) / 345)
    assert figures.window.count == 95
    assert figures.window.values["loss"] == pytest.approx(sum(rows[-95:]) / 95)
    weights = [0.9 ** (344 - i) for i in range(345)]
    faded = sum(w * row for w, row in zip(weights, rows, strict=True)) / sum(weights)
    assert figures.fading.values["loss"] == pytest.approx(faded)


def test_versions_are_kept_apart_and_forgotten() -> None:
    state = prequential.start(("accuracy", "log_loss"), window=10, blocks=2)
    state = prequential.update(state, "v1", {"accuracy": 1.0, "log_loss": 0.1})
    state = prequential.update(state, "v2", {"accuracy": 0.0, "log_loss": 0.9})
    assert prequential.figures(state, "v1").total.values == {"accuracy": 1.0, "log_loss": 0.1}
    assert prequential.figures(state, "v2").window.values == {"accuracy": 0.0, "log_loss": 0.9}
    assert list(prequential.forget(state, "v1").versions) == ["v2"]


def test_state_survives_json_bit_for_bit_and_stays_small() -> None:
    rng = random.Random(2)
    state = prequential.start(("accuracy",), window=1000, blocks=10)
    for _ in range(3000):
        state = prequential.update(state, "v1", {"accuracy": rng.random()})
    text = json.dumps(state.to_json())
    assert PrequentialState.from_json(json.loads(text)) == state
    assert len(text) < 1000
    assert json.loads(json.dumps(prequential.figures(state, "v1").to_json()))["window"]["count"] == 1000


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_figure_that_is_none_moves_no_mean(value: float | None) -> None:
    state = prequential.update(prequential.start(("a", "b")), "v1", {"a": 1.0, "b": value})
    figures = prequential.figures(state, "v1")
    assert (figures.invalid, figures.total.count, figures.total.values) == (1, 0, {})


def test_a_version_that_never_answered_has_no_figures() -> None:
    assert prequential.figures(prequential.start(("a",)), "v9").total.count == 0


@pytest.mark.parametrize(("window", "blocks", "fading"), [(10, 3, 0.9), (10, 1, 0.9), (10, 2, 0.0), (10, 2, 1.1)])
def test_settings_without_meaning_are_refused(window: int, blocks: int, fading: float) -> None:
    with pytest.raises(ValueError, match=r"window|fading"):
        prequential.start(("a",), window, blocks, fading)
