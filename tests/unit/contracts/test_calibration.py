from __future__ import annotations

import json
import math
from typing import Any

import pytest

from shared.contracts.calibration import Calibration, Counts

# Rows with x above 1 are a region of their own; scores part at 0.25, 0.5 and 0.75.
TABLE: dict[str, Any] = {
    "outputs": 1,
    "columns": [{"input": "x"}],
    "tree": [[0, 1.0, 1, 2, True, 0], [0, 0.0, -1, -1, True, 0], [0, 0.0, -1, -1, True, 1]],
    "edges": [0.25, 0.5, 0.75],
    "cells": [[[40, 2, 3.0], [10, 3, 2.0], [10, 7, 2.0], [40, 38, 3.0]], [[5, 2, 2.0]] * 4],
}
THREE = {**TABLE, "outputs": 3, "edges": [0.4, 0.6], "cells": [[[9, 5, 1.0]] * 3] * 2}


@pytest.mark.parametrize(
    ("x", "output", "place"),
    [
        (0.0, 0.1, 0), (1.0, 0.1, 0), (1.001, 0.1, 4), (None, 0.1, 0), (0.0, 0.25, 1), (0.0, 0.4999, 1),
        (0.0, 0.5, 2), (0.0, 1.0, 3), (9.0, 0.9, 7), (0.0, 1.0000001, 3), ("seven", 0.9, 3), (math.nan, 0.9, 3),
    ],
)  # fmt: skip
def test_a_record_has_a_place_by_its_region_and_its_score(x: Any, output: float, place: int) -> None:
    assert Calibration.from_json(TABLE).place({"x": x}, [output]) == place


@pytest.mark.parametrize("output", [[], [math.nan], [None], [math.inf], [-0.1], [1.1], [0.5, 0.5]])
def test_what_is_no_probability_has_none(output: list[float | None]) -> None:
    assert Calibration.from_json(TABLE).place({"x": 0.0}, output) is None


def test_of_several_classes_the_largest_probability_is_the_score() -> None:
    table = Calibration.from_json(THREE)
    assert [table.place({"x": 0}, output) for output in ([0.3, 0.35, 0.35], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1])] == [
        0,
        1,
        2,
    ]
    assert table.place({"x": 0}, [0.7, 0.7, 0.1]) is None
    assert table.place({"x": 0}, [0.7, 0.3]) is None
    assert all(table.is_hit(place, right) is right for place in range(6) for right in (True, False))


def test_a_binary_answer_of_0_is_right_where_the_label_is_no_hit() -> None:
    table = Calibration.from_json(TABLE)
    assert [table.is_hit(place, True) for place in range(4)] == [False, False, True, True]


def test_counts_add_up() -> None:
    counts = Counts.none(3).with_one(1, True, 0.25).with_one(1, False, 0.5).with_one(2, True, 0.0)
    assert counts == ((0, 2, 1), (0, 1, 1), (0.0, 0.75, 0.0))
    assert counts.plus(counts) == ((0, 4, 2), (0, 2, 2), (0.0, 1.5, 0.0))


@pytest.mark.parametrize(
    "broken",
    [
        {"outputs": 0}, {"outputs": "1"}, {"edges": [0.25, 0.6, 0.75]}, {"edges": [0.5, 0.25, 0.75]},
        {"edges": [0.25, 0.5, math.nan]}, {"edges": 7}, {"cells": []}, {"cells": [[[1, 1, 0.0]] * 4] * 17},
        {"cells": [[[1, 1, 0.0]] * 3] * 2}, {"cells": [[[1, 2, 0.0]] * 4] * 2}, {"cells": [[[1, 1, -1.0]] * 4] * 2},
        {"cells": [[[1, 1, math.nan]] * 4] * 2}, {"cells": [[[1, 1]] * 4] * 2}, {"cells": [[[0.5, 0, 0.0]] * 4] * 2},
        {"cells": [[[1, 1, 0.0]] * 4]}, {"tree": []}, {"tree": [[0, 1.0, 0, 0, True, 0]]},
        {"tree": [[1, 1.0, 1, 2, True, 0], [0, 0, -1, -1, True, 0], [0, 0, -1, -1, True, 1]]}, {"tree": "tree"},
        {"columns": ["x"]}, {"columns": [{"input": 3}]}, {"columns": [{"input": "x", "means": [1]}]}, {"columns": None},
    ],
)  # fmt: skip
def test_what_is_no_such_table_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Calibration.from_json(json.loads(json.dumps({**TABLE, **broken})))
    with pytest.raises(KeyError):
        Calibration.from_json({name: value for name, value in TABLE.items() if name not in broken})
