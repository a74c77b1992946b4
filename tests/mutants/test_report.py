"""Runs on the same code add up in the report; any other begins anew."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.report import Row, Run, joined, write
from tests.mutants.tree import Caught
from tests.reports import DIRTY

CAUGHT = Row("one", Caught("5, 7", "brief 3", "", 2.0), True)
MISSED = Row("two", Caught(None, "brief 1-12", "it hangs", 9.0), False)
CLEAN = Row("no bug, brief", Caught(None, "brief 3", "", 1.0), True)


def run(*rows: Row, code: str = "abc") -> Run:
    return Run("of today", code, "1-12", 10.0, rows)


def test_values_are_numbers_and_what_fell_stands_beside_them() -> None:
    one, two, clean = joined(None, run(CAUGHT, MISSED, CLEAN))["rows"]
    assert (one["value"], one["unit"], one["goal"], one["holds"]) == (1, "caught", ">= 1", True)
    assert (one["noticed_by"], one["where"]) == ("5, 7", "brief 3")
    assert (two["value"], two["goal"], two["holds"]) == (0, ">= 1", False)
    assert (clean["value"], clean["unit"], clean["goal"], clean["holds"]) == (0, "fell", "<= 0", True)


def test_runs_on_the_same_code_add_up_and_the_later_word_counts(tmp_path: Path) -> None:
    file = tmp_path / "reports" / "mutants.json"
    write(run(CAUGHT, MISSED, CLEAN), file)
    report = write(run(Row("two", CAUGHT.caught, True)), file)
    assert [(row["name"], row["holds"]) for row in report["rows"]] == [
        ("one", True),
        ("two", True),
        ("no bug, brief", True),
    ]
    assert report["seconds"] == 20.0


def test_a_run_of_other_code_or_of_a_tree_with_changes_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "mutants.json"
    for row, code in ((CAUGHT, "abc"), (MISSED, "def"), (CAUGHT, f"def{DIRTY}"), (MISSED, f"def{DIRTY}")):
        assert [told["name"] for told in write(run(row, code=code), file)["rows"]] == [row.name]
