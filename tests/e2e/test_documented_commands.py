"""No command of the README or of docs/operations.md goes untried but the two exceptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.documented_commands import ELSEWHERE, IN_ORDER, NOT_RUN, OPERATIONS, README, is_part_of, mentioned, shown

HERE = Path(__file__).parent
RUN = {*IN_ORDER, *ELSEWHERE}


@pytest.mark.parametrize("text", [README, OPERATIONS], ids=["README.md", "docs/operations.md"])
def test_every_command_is_run_by_a_test_or_one_of_the_exceptions(text: str) -> None:
    assert [command for command in shown(text) if command not in RUN | NOT_RUN.keys()] == []
    known = [*RUN, *NOT_RUN]
    assert [one for one in mentioned(text) if not any(is_part_of(one, command) for command in known)] == []


def test_what_is_listed_is_shown() -> None:
    everything = {command for text in (README, OPERATIONS) for command in (*shown(text), *mentioned(text))}
    assert {*ELSEWHERE, *NOT_RUN} <= everything
    assert len(IN_ORDER) > 20


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_test_that_is_named_runs_the_command(command: str) -> None:
    file, says = ELSEWHERE[command]
    assert says in (HERE / file).read_text()
