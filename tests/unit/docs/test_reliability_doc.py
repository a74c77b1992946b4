"""docs/reliability.md: its guards and tests are there, and its table says of each log what the suite does."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from shared.runtime.kafka_reader import DAMAGE_TRIES
from tests.chaos.crash_points import Point
from tests.conformance import (
    log_contract,
    task_contract,
    test_apache_kafka_log,
    test_embedded_log,
    test_memory_log,
    test_three_brokers,
    wire_contract,
)
from tests.scenarios.simulation.report import ENOUGH, FAULTS
from tests.scenarios.test_simulate import SLICE, WHOLE
from tests.unit.docs.markdown import DOCS, Row, rows

TEXT = (DOCS / "reliability.md").read_text()
TRAPS = [row for row in rows(TEXT) if row.heading == "What kafka-python does, and our guards"]
PROPERTIES = [row for row in rows(TEXT) if row.heading == "One suite for three logs"]
NAMED = re.compile(r"`((?:tests|shared|services)/[\w/]+\.py)(?:::(\w+))?`")
LOGS: list[list[ModuleType]] = [
    [test_memory_log],
    [test_embedded_log],
    [test_apache_kafka_log, test_three_brokers],
]


def _tests_of(modules: list[ModuleType]) -> set[str]:
    """Those of a log: its functions, and what its classes inherit."""
    classes = [one for module in modules for one in vars(module).values() if isinstance(one, type)]
    owners = [*modules, *(one for one in classes if one.__name__.startswith("Test"))]
    return {name for owner in owners for name in dir(owner) if name.startswith("test_")}


def _told(row: Row) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", row.cells[4]))


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED.findall(TEXT))))
def test_every_file_guard_and_test_that_is_named_is_there(file: str, name: str) -> None:
    code = (DOCS.parent / file).read_text()
    assert not name or re.search(rf"^\s*(def|class) {name}\b|^{name} = ", code, re.MULTILINE), f"{file} has no {name}"


def test_every_trap_has_a_guard_and_a_test() -> None:
    assert [f"K{n}" for n in range(1, 8)] == [row.cells[0][:2] for row in TRAPS if re.match(r"K\d", row.cells[0])]
    assert [row for row in TRAPS if not row.cells[1] or not NAMED.search(row.cells[2])] == []


@pytest.mark.parametrize("row", PROPERTIES, ids=lambda row: row.cells[0])
def test_the_table_says_of_each_log_what_its_suite_does(row: Row) -> None:
    told = _told(row)
    for cell, modules in zip(row.cells[1:4], LOGS, strict=True):
        there = told & _tests_of(modules)
        if cell == "yes":
            assert there
        else:
            assert not there
            assert re.fullmatch(r"not yet|no: \w.{5,}", cell), cell
    assert told <= set.union(*map(_tests_of, LOGS))


def test_every_test_of_tasks_stands_in_the_table() -> None:
    told = set.union(*map(_told, PROPERTIES))
    contracts = {*dir(task_contract.TaskContract), *dir(wire_contract.WireContract)}
    assert {name for name in contracts if name.startswith("test_")} <= told
    assert _tests_of([test_three_brokers]) <= told


def test_all_three_logs_inherit_the_suite_of_the_ports() -> None:
    ports = {name for name in dir(log_contract.LogContract) if name.startswith("test_")}
    assert all(ports <= _tests_of(modules) for modules in LOGS)
    assert "`tests/conformance/log_contract.py`" in TEXT


def test_every_point_at_which_processes_die_stands_in_its_table() -> None:
    assert [row.cells[0] for row in rows(TEXT) if row.heading == "Killed at work"] == list(Point)


def test_it_says_how_often_a_damaged_batch_is_fetched() -> None:
    assert DAMAGE_TRIES == 3
    assert "after the third time" in TEXT


def test_every_fault_of_the_simulation_stands_in_its_table() -> None:
    assert [row.cells[0] for row in rows(TEXT) if row.heading == "Simulation"] == list(FAULTS)


def test_it_says_how_many_histories_are_enough_and_how_many_are_played() -> None:
    assert f"of {ENOUGH} histories or more" in TEXT
    assert f"`make test` plays the first {len(SLICE)} seeds, `make proof` {len(WHOLE)} more" in TEXT
