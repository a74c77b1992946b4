"""The one rule for tests on real files: skipped with a reason where they are absent, failed under CI."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import shared_data
from tests.shared_data import shared_file

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared_data, "SHARED_DATA", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [(None, pytest.skip.Exception), ("false", pytest.skip.Exception), ("true", pytest.fail.Exception)],
)
def test_an_absent_file_skips_or_under_ci_fails(
    ci: str | None, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"shared/data/electricity\.csv is absent"):
        shared_file("electricity.csv")


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_file_that_is_there_is_given(elsewhere: Path, ci: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    (elsewhere / "electricity.csv").touch()
    assert shared_file("electricity.csv") == elsewhere / "electricity.csv"


def test_no_other_test_has_a_rule_of_its_own() -> None:
    own = re.compile(r'"shared"\s*/\s*"data"|environ.*"CI"')
    found = {str(file.relative_to(TESTS)) for file in TESTS.rglob("*.py") if own.search(file.read_text())}
    assert found == {"shared_data.py", "unit/test_shared_data.py"}
