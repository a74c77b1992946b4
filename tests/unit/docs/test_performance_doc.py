"""docs/performance.md: its commands are there and take their arguments, its rows are those that the benchmark makes."""

from __future__ import annotations

import re
import shlex

from tests.benchmarks import _platform, _stages, _throughput, runtime
from tests.benchmarks._laps import Lap
from tests.unit.docs.markdown import DOCS, blocks, rows

TEXT = (DOCS / "performance.md").read_text()
COMMANDS = [line for block in blocks(TEXT, "sh") for line in block.splitlines()]
TARGETS = set(re.findall(r"^([a-z-]+):", (DOCS.parent / "Makefile").read_text(), re.MULTILINE))


def _arguments(command: str) -> list[str]:
    """What `make bench-runtime ARGS=...` hands on."""
    make, target, *given = shlex.split(command)
    assert (make, target) == ("make", "bench-runtime")
    assert target in TARGETS
    [args] = given or ["ARGS="]
    return shlex.split(args.removeprefix("ARGS="))


def test_every_command_is_there_and_takes_its_arguments() -> None:
    parts = {part for command in COMMANDS for part in runtime.options().parse_args(_arguments(command)).only}
    assert parts == {*runtime.PARTS}


def test_every_file_and_name_of_code_that_is_named_is_there() -> None:
    for file, name in re.findall(r"`((?:tests|shared|services)/[\w/]+\.py)(?:::(\w+))?`", TEXT):
        code = (DOCS.parent / file).read_text()
        assert not name or re.search(rf"^\s*(def|class) {name}\b|^{name}\b.* = ", code, re.MULTILINE), (file, name)


def test_its_table_holds_every_batch_size_and_the_goal() -> None:
    table = [row.cells for row in rows(TEXT) if row.heading == "Beside bare kafka-python"]
    sizes = [int(cells[0].replace(",", "")) for cells in table]
    assert sizes == runtime.options().parse_args([]).batches
    assert f"{_throughput.GOAL:.0%}" in TEXT
    assert f"batches of {_throughput.GOAL_AT:,}" in TEXT


def test_its_ratios_are_those_that_the_benchmark_prints() -> None:
    laps = {name: [Lap(10, 1.0, 1.0)] for name in ("ours", "bare", "safe")}
    made = " ".join(row.name for row in _throughput.rows(1_000, laps))
    for manner in ("bare kafka-python", "flush and commit each batch"):
        assert manner in made
        assert manner in TEXT


def test_its_stages_are_those_of_the_profile() -> None:
    assert tuple(row.cells[0] for row in rows(TEXT) if row.heading == "Where the time goes") == _stages.STAGES


def test_it_says_what_is_aimed_at_for_a_whole_platform() -> None:
    assert f"{_platform.IDLE_GOAL:g} % of a core" in TEXT
    assert f"{_platform.FIRST_GOAL_MS / 1000:g} s" in TEXT
