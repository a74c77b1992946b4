"""What a correction finds in outcomes: something where there is something to learn, and nothing where there is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from services.monitoring.correction import MOST_CATEGORIES, Correction, learn
from shared.contracts.losses import LossSpec, bounded_loss

BINARY = LossSpec("binary", "log_loss")
SEVERAL = LossSpec("multiclass", "log_loss", classes=("a", "b", "c"))
VALUE = LossSpec("regression", "absolute_error", scale=10.0)
Made = Callable[[random.Random], tuple[dict[str, Any], list[float], Any]]


def spared(spec: LossSpec, made: Made, count: int = 3_000, seed: int = 1) -> float:
    """The mean loss that the correction spares over the second half."""
    draw, state, total = random.Random(seed), Correction(), 0.0
    for number in range(count):
        inputs, output, label = made(draw)
        state, corrected = learn(state, spec, inputs, output, label)
        before, after = bounded_loss(spec, output, label), bounded_loss(spec, corrected, label)
        if number >= count // 2:
            total += float(before) - float(after)
    return total / (count - count // 2)


def test_a_model_that_does_not_know_an_input_is_corrected() -> None:
    def made(draw: random.Random) -> tuple[dict[str, Any], list[float], int]:
        x = draw.gauss(50.0, 20.0)
        return {"x": x}, [0.5], int(draw.random() < (0.9 if x > 50.0 else 0.1))

    assert spared(BINARY, made) > 0.03


def test_a_model_that_has_learnt_all_is_only_made_worse() -> None:
    def made(draw: random.Random) -> tuple[dict[str, Any], list[float], int]:
        p = draw.uniform(0.05, 0.95)
        return {"x": draw.random(), "y": draw.gauss(0.0, 1.0)}, [p], int(draw.random() < p)

    assert -0.02 < spared(BINARY, made) < 0.0


def test_a_label_that_means_the_contrary_by_now_is_found_from_the_models_own_output() -> None:
    def made(draw: random.Random) -> tuple[dict[str, Any], list[float], int]:
        p = draw.choice([0.1, 0.9])
        return {}, [p], int(draw.random() < 1.0 - p)

    assert spared(BINARY, made) > 0.2


def test_a_category_that_is_answered_wrongly_is_found_among_many() -> None:
    def made(draw: random.Random) -> tuple[dict[str, Any], list[float], int]:
        shop = draw.randrange(4)
        return {"shop": f"s{shop}"}, [0.2], int(draw.random() < (0.8 if shop == 3 else 0.2))

    assert spared(BINARY, made) > 0.02


def test_of_several_classes_the_one_that_has_become_frequent_is_found() -> None:
    def made(draw: random.Random) -> tuple[dict[str, Any], list[float], str]:
        return {}, [0.8, 0.1, 0.1], draw.choices("abc", [0.1, 0.1, 0.8])[0]

    assert spared(SEVERAL, made) > 0.2


def test_a_class_that_the_version_does_not_know_spares_nothing() -> None:
    def made(draw: random.Random) -> tuple[dict[str, Any], list[float], str]:
        return {}, [0.8, 0.1, 0.1], draw.choices("ad", [0.5, 0.5])[0]

    assert spared(SEVERAL, made) <= 0.0


def test_a_value_that_has_grown_by_half_is_found() -> None:
    def made(draw: random.Random) -> tuple[dict[str, Any], list[float], float]:
        value = draw.uniform(5.0, 15.0)
        return {"x": draw.random()}, [value], 1.5 * value + draw.gauss(0.0, 1.0)

    assert spared(VALUE, made) > 0.25


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 1e300, True])
def test_what_is_missing_or_no_number_says_nothing(value: Any) -> None:
    state = Correction()
    for number in range(50):
        state, [corrected] = learn(state, BINARY, {"x": value if number % 2 else 1.0 * number}, [0.5], number % 2)
        assert 0.0 < corrected < 1.0
    assert all(weight == weight for row in state.weights for weight in row)


def test_a_constant_input_and_one_that_comes_late_do_no_harm() -> None:
    state = Correction()
    for number in range(200):
        inputs = {"same": 7.0, **({"late": float(number % 5)} if number > 100 else {})}
        state, [corrected] = learn(state, BINARY, inputs, [0.5], number % 2)
        assert 0.1 < corrected < 0.9
    assert state.names == ("", "same", "late")


def test_categories_without_end_share_a_column() -> None:
    state = Correction()
    for number in range(3 * MOST_CATEGORIES):
        state, _ = learn(state, BINARY, {"id": f"i{number}"}, [0.5], 1)
    assert len(state.categories) == MOST_CATEGORIES + 1


def test_the_state_goes_through_json_bit_for_bit() -> None:
    draw, state = random.Random(3), Correction()
    for number in range(100):
        inputs = {"x": draw.gauss(0.0, 3.0), "kind": draw.choice("ab")}
        state, _ = learn(state, SEVERAL, inputs, [0.2, 0.3, 0.5], "abc"[number % 3])
    assert Correction.from_json(orjson.loads(orjson.dumps(state.to_json()))) == state
