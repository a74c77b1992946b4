"""How old a task's newest copy is: counted from when the task got further, and on while no copy can be made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.simulation.memory_store import SimulatedStore
from deploy.simulation.virtual_time import VirtualClock
from shared.runtime.copier import Copier
from shared.runtime.copies import Copies
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests.memory_host import AtOnce
from tests.unit.runtime.test_copies import TASK
from tests.unit.runtime.toy_task import open_task, predicted, take

EVERY_S = 300.0


class Copied:
    """One task and its copier; time passes turn by turn."""

    def __init__(self, path: Path) -> None:
        self.store, self.clock = SimulatedStore(), VirtualClock()
        self.task: Task = open_task(TaskFile(TASK, path))
        self.copier = Copier(lambda: Copies(self.store, "log"), AtOnce(), self.clock.now_s, EVERY_S)

    def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.pass_ms(1_000)
            self.copier.turn({TASK: self.task})

    @property
    def age_s(self) -> float:
        return self.copier.age_s(TASK, self.task.reached)


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Copied]:
    """A task whose copy is as far as itself."""
    made = Copied(tmp_path / "here.sqlite")
    made.pass_s(1)
    take(made.task, predicted(1))
    made.pass_s(302)
    assert made.age_s == 0.0
    yield made
    made.task.close()


def test_the_age_grows_while_no_copy_can_be_made_and_ends_with_the_next_one(copied: Copied) -> None:
    copied.store.away = True
    take(copied.task, predicted(2))
    copied.pass_s(2_000)
    assert 1_990 <= copied.age_s <= 2_000
    copied.store.away = False
    copied.pass_s(302)
    assert copied.age_s == 0.0


def test_the_age_of_a_task_that_rested_begins_when_it_gets_further(copied: Copied) -> None:
    copied.pass_s(3_600)
    take(copied.task, predicted(2))
    assert copied.age_s <= 1.0


def test_what_came_while_the_copy_was_made_is_not_in_it(copied: Copied) -> None:
    copied.pass_s(400)
    take(copied.task, predicted(2))
    copied.pass_s(1)  # this turn begins the copy, the next one collects it
    take(copied.task, predicted(3))
    copied.pass_s(2)
    assert 0.0 < copied.age_s <= 3.0
