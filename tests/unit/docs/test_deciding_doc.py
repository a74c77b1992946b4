"""docs/deciding.md: its commands take their arguments, its pictures and the code that it names are there."""

from __future__ import annotations

import re
import shlex
from xml.etree import ElementTree

from services.monitoring import residual_allowance
from shared.contracts.definitions import Monitor
from tests.benchmarks import decisions
from tests.unit.docs.markdown import DOCS, blocks, rows

TEXT = (DOCS / "deciding.md").read_text()
COMMANDS = [
    *(line for block in blocks(TEXT, "sh") for line in block.splitlines()),
    *re.findall(r"`(make bench-decisions[^`]*)`", TEXT),
]


def test_every_command_is_there_and_takes_its_arguments() -> None:
    assert len(COMMANDS) >= 2
    for command in COMMANDS:
        make, target, *given = shlex.split(command)
        assert (make, target) == ("make", "bench-decisions")
        [args] = given or ["ARGS="]
        assert decisions.options().parse_args(shlex.split(args.removeprefix("ARGS="))).only


def test_every_picture_is_there_and_every_one_that_is_there_is_shown() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((figures/[\w-]+\.svg)\)", TEXT)
    assert {f"figures/{file.name}" for file in (DOCS / "figures").glob("*.svg")} == set(shown)
    for name in shown:
        assert ElementTree.parse(DOCS / name).getroot().tag.endswith("svg")


def test_every_file_of_code_that_is_named_is_there() -> None:
    files = re.findall(r"`((?:tests|shared|services)/[\w/]+\.py)`", TEXT)
    assert files
    assert [file for file in files if not (DOCS.parent / file).exists()] == []


def test_the_settings_that_it_explains_are_those_of_a_definition() -> None:
    table = [row.cells[0] for row in rows(TEXT) if row.heading == "Settings"]
    named = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    assert named
    assert named <= {*Monitor.model_fields}


def test_the_allowance_is_that_of_the_monitor() -> None:
    assert f"at {residual_allowance.ALLOWANCE:g} times the run length" in TEXT
