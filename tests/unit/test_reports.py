"""Parts of a benchmark that were run on one commit add up in its report; those of any other are dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import reports
from tests.reports import DIRTY, Report, Row

SEED = 7


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where reports go."""
    monkeypatch.setattr(reports, "REPORTS", tmp_path)
    monkeypatch.setattr(reports, "commit", lambda: "abc")


def run(**parts: list[str]) -> dict[str, Any]:
    """One run of some parts, each with rows of these names; what stands in the file."""
    report = Report("bench", SEED)
    for part, names in parts.items():
        report.add(*(Row.of(name, [1.0], "s") for name in names))
        report.write_part(part)
    return standing()


def standing() -> dict[str, Any]:
    held = reports.read(reports.REPORTS / "bench.json")
    assert held is not None
    return held


def names(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["part"], row["name"]) for row in report["rows"]]


def test_parts_of_one_commit_add_up_and_say_of_what_they_are() -> None:
    run(throughput=["rate", "CPU"], memory=["slope"])
    report = run(platform=["idle"])
    assert names(report) == [("throughput", "rate"), ("throughput", "CPU"), ("memory", "slope"), ("platform", "idle")]
    said = {part: (told["commit"], told["seed"]) for part, told in report["parts"].items()}
    assert said == dict.fromkeys(("throughput", "memory", "platform"), ("abc", SEED))


def test_a_part_that_is_run_again_takes_the_place_of_all_its_rows() -> None:
    run(throughput=["rate", "CPU"], memory=["slope"])
    assert names(run(throughput=["rate of less"])) == [("memory", "slope"), ("throughput", "rate of less")]


def test_each_part_is_written_when_it_ends() -> None:
    report = Report("bench", SEED)
    report.add(Row.of("rate", [1.0], "s"))
    report.write_part("throughput")
    report.add(Row.of("idle", [1.0], "s"))
    assert names(standing()) == [("throughput", "rate")]


def test_the_rows_of_another_commit_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    run(throughput=["rate"])
    monkeypatch.setattr(reports, "commit", lambda: "def")
    report = run(platform=["idle"])
    assert names(report) == [("platform", "idle")]
    assert report["parts"].keys() == {"platform"}


def test_a_tree_with_changes_begins_anew_and_the_parts_of_its_run_stand_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "commit", lambda: f"abc{DIRTY}")
    run(throughput=["rate"])
    report = run(memory=["slope"], platform=["idle"])
    assert names(report) == [("memory", "slope"), ("platform", "idle")]
    assert report["parts"]["platform"]["commit"] == f"abc{DIRTY}"


def test_what_has_no_parts_is_written_whole() -> None:
    report = Report("bench", SEED)
    report.add(Row.of("seconds", [1.0], "s"))
    report.write()
    assert [row["name"] for row in standing()["rows"]] == ["seconds"]
    assert "parts" not in standing()
