"""The estimate of accuracy before labels: records and labels in, figures out."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitoring import estimated_quality as eq
from services.monitoring.estimated_quality import EstimateState, Figures
from shared.contracts.calibration import Calibration

# Two regions of 500 rows, of x up to 1 and above. Scores below and above 0.5: in the first region the model is right in
# nine of ten rows, in the second in six of ten. Losses: 0.1 and 0.4 a row.
EASY, HARD = [[250, 25, 25.0], [250, 225, 25.0]], [[250, 100, 100.0], [250, 150, 100.0]]
TREE = [[0, 1.0, 1, 2, True, 0], [0, 0.0, -1, -1, True, 0], [0, 0.0, -1, -1, True, 1]]
DATA: dict[str, Any] = {
    "outputs": 1, "columns": [{"input": "x"}], "tree": TREE, "edges": [0.5], "cells": [EASY, HARD],
}  # fmt: skip
TABLE = Calibration.from_json(DATA)


def of(**over: Any) -> Calibration:
    return Calibration.from_json({**DATA, **over})


def inputs(hard: bool) -> dict[str, float]:
    return {"x": 2.0 if hard else 0.0}


def after(hard: Sequence[bool], table: Calibration = TABLE, state: EstimateState | None = None) -> EstimateState:
    state = state or EstimateState(1, 0)
    for i, one in enumerate(hard):
        state = eq.scored(state, table, (i, "r"), inputs(one), [0.9 if i % 2 else 0.1])
    return state


def estimated(hard_share: float, table: Calibration = TABLE) -> Figures | None:
    return eq.estimate(after([i % 100 < 100 * hard_share for i in range(500)], table), table)


@pytest.mark.parametrize("hard_share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_the_estimate_follows_the_regions_that_records_come_from(hard_share: float) -> None:
    found = estimated(hard_share)
    assert found is not None
    drawn = (500 * hard_share + eq.PRIOR_ROWS * 0.5) / (500 + eq.PRIOR_ROWS)
    assert found.accuracy == pytest.approx(0.9 - 0.3 * drawn)
    assert found.loss == pytest.approx(0.1 + 0.3 * drawn)
    assert found.rows == 500


def test_density_ratios_are_shares_now_over_shares_then_drawn_towards_one() -> None:
    uneven = of(cells=[[[400, 40, 40.0], [400, 360, 40.0]], [[100, 40, 40.0], [100, 60, 40.0]]])
    assert eq.density_ratios(uneven.counts, uneven, [0] * 80 + [2] * 20) == pytest.approx([1.0, 1.0])
    easy, hard = eq.density_ratios(uneven.counts, uneven, [2] * 100)
    assert (easy, hard) == (pytest.approx(16 / 116), pytest.approx((100 + 16 * 0.2) / 116 / 0.2))
    assert eq.density_ratios(of(cells=[EASY, [[0, 0, 0.0]] * 2]).counts, TABLE, [0, 2]) == [pytest.approx(17 / 18), 0.0]


@pytest.mark.parametrize(
    ("sums", "weights", "rates"),
    [
        ([1, 2, 3], [4, 4, 4], [0.25, 0.5, 0.75]), ([3, 1], [4, 4], [0.5, 0.5]), ([], [], []),
        ([1, 3, 1, 4], [4, 4, 4, 4], [0.25, 0.5, 0.5, 1]), ([3, 2, 1], [4, 4, 4], [0.5, 0.5, 0.5]),
        ([0, 2, 0], [0, 4, 0], [0.5, 0.5, 0.5]), ([0.0], [0.0], [0.0]), ([3, 0, 0], [4, 12, 0], [3 / 16] * 3),
    ],
)  # fmt: skip
def test_rates_that_fall_are_pooled(sums: list[float], weights: list[float], rates: list[float]) -> None:
    assert eq.isotonic(sums, weights) == pytest.approx(rates)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12))
def test_pooled_rates_rise_and_keep_the_sum(cells: list[tuple[int, int]]) -> None:
    weights, sums = [max(cell) for cell in cells], [min(cell) for cell in cells]
    rates = eq.isotonic(sums, weights)
    assert all(low <= high + 1e-12 for low, high in pairwise(rates))
    assert sum(rate * weight for rate, weight in zip(rates, weights, strict=True)) == pytest.approx(sum(sums))


def test_noise_around_one_half_is_not_smoothed_in_favour_of_the_answers() -> None:
    # Below 0.5 the label is 1 in 60 of 100 rows, above in 40: a model that is wrong more often than right.
    wrong = of(tree=[TREE[1]], columns=[], cells=[[[100, 60, 0.0], [100, 40, 0.0]]])
    found = eq.estimate(after([False] * 200, wrong), wrong)
    assert found is not None
    assert found.accuracy == pytest.approx(0.4)


def test_of_several_classes_the_largest_probability_is_calibrated() -> None:
    three = of(outputs=3, edges=[0.6], tree=[TREE[1]], columns=[], cells=[[[300, 150, 90.0], [300, 270, 30.0]]])
    state = EstimateState(1, 0)
    for i in range(400):
        state = eq.scored(state, three, (i, ""), {}, [0.8, 0.1, 0.1] if i % 4 else [0.1, 0.5, 0.4])
    found = eq.estimate(state, three)
    assert found is not None
    assert found.accuracy == pytest.approx(0.75 * 0.9 + 0.25 * 0.5)
    assert found.loss == pytest.approx(0.75 * 0.1 + 0.25 * 0.3)


def test_nothing_is_shown_that_rests_on_too_little() -> None:
    assert eq.estimate(after([False] * (eq.FEWEST - 1)), TABLE) is None
    assert eq.estimate(after([False] * eq.FEWEST), TABLE) is not None
    few = of(cells=[EASY, [[30, 10, 3.0], [30, 20, 3.0]]])
    assert estimated(0.1, few) is not None
    assert estimated(1.0, few) is None  # it would rest on the 60 rows of one region
    absent = of(cells=[EASY, [[0, 0, 0.0]] * 2])
    assert estimated(0.04, absent) is not None
    assert estimated(0.06, absent) is None  # of one region nothing is known
    silent = of(cells=[[[250, 25, 25.0], [0, 0, 0.0]], [[250, 100, 100.0], [0, 0, 0.0]]])
    assert estimated(0.5, silent) is None  # it never answered 1 before
    assert estimated(0.5, of(cells=[[[0, 0, 0.0]] * 2] * 2)) is None


def test_only_the_newest_records_count() -> None:
    state = after([False] * 500, state=after([True] * 900))
    assert len(state.places) == eq.ROWS
    assert eq.estimate(state, TABLE) == estimated(0.0)


@pytest.mark.parametrize("output", [[math.nan], [], [1.5], [0.2, 0.8]])
def test_an_output_that_is_no_prediction_is_passed_over(output: list[float]) -> None:
    state = after([True] * 200)
    assert eq.scored(state, TABLE, (200, "r"), inputs(False), output) == state
    assert eq.labelled(state, TABLE, (200, "r"), inputs(False), output, True, 0.5) == state


def lived(
    hard: Sequence[bool], right: Sequence[bool], late: int, table: Calibration = TABLE, cut: Sequence[int] = ()
) -> EstimateState:
    """Records whose labels come so many records later; at each cut the state goes through JSON."""
    state = EstimateState(1, 0)
    for i in range(len(hard) + late):
        if i < len(hard):
            state = eq.scored(state, table, (i, f"r{i}"), inputs(hard[i]), [0.9 if i % 2 else 0.1])
        if (known := i - late) >= 0:
            output, loss = [0.9 if known % 2 else 0.1], 0.25 * (1 - right[known])
            state = eq.labelled(state, table, (known, f"r{known}"), inputs(hard[known]), output, right[known], loss)
        if i in cut:
            again = EstimateState.from_json(json.loads(json.dumps(state.to_json())))
            assert again == state
            assert again.to_json() == state.to_json()
            state = again
    return state


@pytest.mark.parametrize("late", [0, 48, 499, 500, 1_700])
def test_the_error_of_an_estimate_is_known_once_its_labels_are(late: int) -> None:
    # Right in half of the records, where nine of ten are expected. The second block ends with the second thousand.
    right = [i % 4 < 2 for i in range(1_001)]
    state = lived([False] * 1_001, right, late)
    assert state.error is not None
    assert state.error.rows == 500
    if late >= 1_000:  # its estimate was made when no label was known
        expected = estimated(0.0)
        assert expected is not None
        assert state.error.accuracy == pytest.approx(expected.accuracy - 0.5)
        assert state.error.loss == pytest.approx(expected.loss - 0.125)
    assert lived([False] * 499, right, late).error is None


def test_labels_renew_the_reference() -> None:
    # Half of the easy records are answered wrongly from now on: once 2,000 labels have come, nothing else is known.
    right = [i % 4 < 2 for i in range(2_500)]
    before, now = (eq.estimate(lived([False] * n, right, 0), TABLE) for n in (200, 2_500))
    assert before is not None
    assert now is not None
    assert before.accuracy > 0.75
    assert now.accuracy == pytest.approx(0.5, abs=0.01)
    rows = eq.reference(lived([False] * 2_500, right, 0), TABLE).rows
    assert eq.GENERATION <= sum(rows) < 2 * eq.GENERATION


def test_unlabelled_records_have_no_part_in_the_comparison() -> None:
    state = after([False] * 500)
    for i in range(0, 500, 4):
        state = eq.labelled(state, TABLE, (i, "r"), inputs(False), [0.1], i % 8 == 0, 0.0)
    assert state.error is None
    state = eq.labelled(state, TABLE, (500, "r"), inputs(False), [0.1], True, 0.0)
    assert state.error is not None
    assert state.error.rows == 125
    assert state.error.accuracy == pytest.approx(state_of_zeros() - 63 / 125)


def state_of_zeros() -> float:
    levels = eq.weighted_levels(TABLE.counts, TABLE, eq.density_ratios(TABLE.counts, TABLE, [0] * 500))
    assert levels.right[0] is not None
    return levels.right[0]


def test_a_block_with_too_few_labels_says_nothing() -> None:
    state = after([False] * 500)
    for i in range(eq.FEWEST - 1):
        state = eq.labelled(state, TABLE, (i, "r"), inputs(False), [0.1], True, 0.0)
    assert eq.labelled(state, TABLE, (500, "r"), inputs(False), [0.1], True, 0.0).error is None


def test_while_too_many_blocks_wait_others_are_left_out_and_those_that_wait_stay_right() -> None:
    late = (eq.MOST_BLOCKS + 3) * eq.ROWS
    state = after([False] * late)
    assert len(state.blocks) == eq.MOST_BLOCKS
    assert len(json.dumps(state.to_json())) < 40_000
    last = state.blocks[-1].last
    assert last[0] == eq.MOST_BLOCKS * eq.ROWS - 1
    for i in range(last[0] - 2 * eq.ROWS, last[0] + 2 * eq.ROWS):
        state = eq.labelled(state, TABLE, (i, "r"), inputs(False), [0.9 if i % 2 else 0.1], True, 0.0)
    assert state.blocks == ()
    assert state.tally == eq.Tally()
    assert state.error is not None
    assert state.error.rows == 500


@settings(deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 1_400), max_size=4))
def test_the_state_survives_json_at_any_record_bit_for_bit(seed: int, cut: list[int]) -> None:
    rng = random.Random(seed)
    hard, right = [rng.random() < 0.3 for _ in range(1_100)], [rng.random() < 0.7 for _ in range(1_100)]
    assert lived(hard, right, 300, cut=cut) == lived(hard, right, 300)
