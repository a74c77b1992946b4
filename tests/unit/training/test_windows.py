"""Which windows are compared, and how many rows judge them."""

from __future__ import annotations

import pytest

from services.training.fit import MINIMUM_ROWS, TooFewRows
from services.training.windows import candidate_windows, judging_rows


def lengths(chosen: int | str, count: int, since: int | None = None) -> dict[str, int]:
    found = candidate_windows(chosen, range(1_000, 1_000 + count), None if since is None else 1_000 + since, 2_000)
    return {name: count - first for name, first in found.items()}


def test_without_a_change_there_are_half_and_twice_the_minimum_beside_all_the_widest_first() -> None:
    for rows in (5_000, 16_000, 50_000):
        found = lengths("auto", rows)
        assert list(found.items()) == [("all", rows), ("newest 4000", 4_000), ("newest 1000", 1_000)]


def test_what_all_rows_do_not_fill_is_no_window() -> None:
    assert set(lengths("auto", 3_999)) == {"all", "newest 1000"}
    assert set(lengths("auto", 1_000)) == {"all"}


@pytest.mark.parametrize("rows", [300, 1_200, 4_450, 4_500, 4_501, 20_000])
def test_no_two_windows_are_judged_by_the_same_fit(rows: int) -> None:
    """Each is fitted on as many rows as it has, before those that judge."""
    judging = judging_rows(rows)
    begins = [max(0, rows - length - judging) for length in lengths("auto", rows).values()]
    assert len(set(begins)) == len(begins)
    assert ("newest 4000" in lengths("auto", rows)) == (rows > 4_500)


def test_no_window_is_shorter_than_what_fits_can_be_made_on() -> None:
    assert list(candidate_windows("auto", range(5_000), None, 50)) == ["all", "newest 200"]


def test_since_a_change_and_twice_as_many() -> None:
    assert lengths("auto", 20_000, since=17_000) == {
        "all": 20_000,
        "twice since change": 6_000,
        "newest 4000": 4_000,
        "since change": 3_000,
        "newest 1000": 1_000,
    }


def test_of_two_windows_of_nearly_one_length_there_is_one() -> None:
    assert set(lengths("auto", 4_300, since=3_250)) == {"all", "since change", "twice since change"}
    assert set(lengths("auto", 1_050, since=40)) == {"all"}


def test_a_change_among_the_newest_rows_still_has_half_of_the_minimum() -> None:
    for since in (2_990, 3_000, 9_000):
        assert lengths("auto", 3_000, since) == {"all": 3_000, "twice since change": 2_000, "since change": 1_000}


@pytest.mark.parametrize("rows", [400, 1_000, 5_000, 20_000])
def test_a_change_among_the_newest_rows_has_rows_enough_beside_those_that_judge(rows: int) -> None:
    found = candidate_windows("auto", range(rows), rows - 10, 50)
    length = rows - found.get("since change", 0)
    assert length == max(200, MINIMUM_ROWS + judging_rows(rows))


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
