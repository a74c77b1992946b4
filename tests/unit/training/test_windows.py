"""Which windows are compared, and how many rows judge them."""

from __future__ import annotations

import pytest

from services.training.fit import MINIMUM_ROWS, TooFewRows
from services.training.windows import candidate_windows, judging_rows


def lengths(chosen: int | str, count: int, since: int | None = None) -> dict[str, int]:
    found = candidate_windows(chosen, range(1_000, 1_000 + count), None if since is None else 1_000 + since, 2_000)
    return {name: count - first for name, first in found.items()}


def test_without_a_change_windows_shrink_by_a_factor_of_four_the_widest_first() -> None:
    found = lengths("auto", 16_000)
    assert list(found.items()) == [("all", 16_000), ("newest quarter", 4_000), ("newest sixteenth", 1_000)]


def test_a_share_with_too_few_rows_is_no_window() -> None:
    assert set(lengths("auto", 3_996)) == {"all"}
    assert set(lengths("auto", 4_000)) == {"all", "newest quarter"}


def test_since_a_change_and_twice_as_many() -> None:
    assert lengths("auto", 20_000, since=17_000) == {
        "all": 20_000,
        "twice since change": 6_000,
        "newest quarter": 5_000,
        "since change": 3_000,
        "newest sixteenth": 1_250,
    }


def test_of_two_windows_of_nearly_one_length_there_is_one() -> None:
    assert set(lengths("auto", 4_000, since=2_950)) == {"all", "since change", "twice since change"}
    assert set(lengths("auto", 1_200, since=50)) == {"all"}


def test_a_change_among_the_newest_rows_still_has_half_of_the_minimum() -> None:
    for since in (2_990, 3_000, 9_000):
        assert lengths("auto", 3_000, since) == {"all": 3_000, "twice since change": 2_000, "since change": 1_000}


def test_a_number_and_all_are_one_window() -> None:
    assert lengths(500, 20_000, since=17_000) == {"newest 500": 500}
    assert lengths(500, 300) == {"newest 500": 300}
    assert lengths("all", 20_000, since=17_000) == {"all": 20_000}


def test_too_few_rows_are_no_window() -> None:
    with pytest.raises(TooFewRows):
        lengths("auto", MINIMUM_ROWS - 1)


@pytest.mark.parametrize(
    ("rows", "judging"),
    [(50, 20), (100, 25), (200, 50), (383, 95), (400, 96), (1_000, 125), (2_000, 250), (4_000, 500), (20_000, 500)],
)
def test_an_eighth_judges_up_to_a_limit_and_of_few_rows_a_quarter(rows: int, judging: int) -> None:
    assert judging_rows(rows) == judging
