"""No command of the README, of docs/operations.md and docs/replay.md, or of an example goes untried but NOT_RUN."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.documented_commands import DOCUMENTS, ELSEWHERE, IN_ORDER, NOT_RUN, ROOT, is_part_of, mentioned, shown
from tests.e2e.run_by_tests import runs

HERE = Path(__file__).parent
RUN = {*IN_ORDER, *ELSEWHERE}
UNTIL_ITS_END = re.DOTALL | re.MULTILINE


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_every_command_is_run_by_a_test_or_one_of_the_exceptions(text: str) -> None:
    assert [command for command in shown(text) if command not in RUN | NOT_RUN.keys()] == []
    known = [*RUN, *NOT_RUN]
    assert [one for one in mentioned(text) if not any(is_part_of(one, command) for command in known)] == []


def test_every_example_that_has_a_page_is_looked_at() -> None:
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "examples").glob("*/*.md")}
    assert pages <= DOCUMENTS.keys()
    plain = [
        name
        for name, text in DOCUMENTS.items()
        for block in re.findall(r"^```(.*?)^```", text, UNTIL_ITS_END)
        if block.startswith("\n") and re.search(r"^(\$ )?(headrace|make|python|curl) ", block, re.MULTILINE)
    ]
    assert plain == [], "a command in a block that says no language is seen by nobody"


def test_what_is_listed_is_shown() -> None:
    everything = {command for text in DOCUMENTS.values() for command in (*shown(text), *mentioned(text))}
    assert {*ELSEWHERE, *NOT_RUN} <= everything
    assert len(IN_ORDER) > 20


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_test_that_is_named_runs_the_command(command: str) -> None:
    file, says = ELSEWHERE[command]
    assert runs((HERE / file).read_text(), says)


@pytest.mark.parametrize(
    "body",
    [
        "asked = SETUP",
        "assert SETUP",
        "'make demo, SETUP'",
        "run(SET_UP, 'make', 'demo')",
        "asked = ['make', 'demo']",
        "run(['make', 'demo-bad-candidate'])",
    ],
)
def test_to_name_a_command_is_not_to_run_it(body: str) -> None:
    source = f"from commands import SETUP\n\ndef test() -> None:\n    {body}\n"
    assert not runs(source, "SETUP")
    assert not runs(source, '"make", "demo"')


@pytest.mark.parametrize("body", ["run(f'{SETUP} && true')", "running(SETUP, log)", "asked = SETUP\n    run(asked)"])
def test_a_command_that_is_run_is_found(body: str) -> None:
    assert runs(f"def test() -> None:\n    {body}\n", "SETUP")
