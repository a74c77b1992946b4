"""Planted bugs: each one of the list still fits the code, and some of them are caught here; `make mutants` does all."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.histories import HISTORIES
from tests.mutants.mutant import ALIKE, REPLICAS, DoesNotApply, Edit, Mutant, planted
from tests.mutants.of_the_clients import RULES
from tests.mutants.planted import MUTANTS
from tests.mutants.run import told_by
from tests.mutants.tree import ROOT, Tree
from tests.scenarios.invariants import INVARIANTS

FAST = [mutant for mutant in MUTANTS if mutant.fast is not None]
PRODUCT = ("shared/", "services/", RULES)  # and the rules that every line of it keeps


def named(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_it_fits_the_code_and_still_is_code(mutant: Mutant) -> None:
    for path, text in planted(ROOT, mutant).items():
        ast.parse(text)
        assert str(path.relative_to(ROOT)).startswith(PRODUCT)
        assert text != path.read_text()


@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_it_says_what_it_breaks_and_what_notices_it(mutant: Mutant) -> None:
    assert mutant.breaks.endswith(".")
    assert mutant.section[0] in "134578"
    assert bool(mutant.tests) != bool(mutant.falls)
    assert mutant.histories in HISTORIES
    assert all(what in INVARIANTS or what in (ALIKE, REPLICAS) for what in mutant.falls)
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


def test_there_are_enough_of_them_and_none_twice() -> None:
    assert len(MUTANTS) >= 60
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1
    assert Counter(mutant.edits for mutant in MUTANTS).most_common(1)[0][1] == 1
    assert len([mutant for mutant in MUTANTS if mutant.falls]) > len(MUTANTS) / 2


def test_what_no_longer_fits_is_told() -> None:
    mutant = Mutant("m", "3", "It holds.", (Edit("shared/runtime/task.py", "no such text", ""),))
    with pytest.raises(DoesNotApply, match="stands 0 times"):
        planted(ROOT, mutant)


def test_only_those_are_planted_that_change_the_file_asked_for_whichever_of_their_edits_does() -> None:
    mutant = Mutant("m", "3", "It holds.", (Edit("shared/one.py", "a", "b"), Edit("services/two.py", "a", "b")))
    assert all(text in told_by(mutant) for text in ("m", "brief", "one.py", "services/two"))
    assert "three" not in told_by(mutant)


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    with Tree() as copy:
        yield copy


def test_fast_ones_are_few() -> None:
    assert 4 <= len(FAST) <= 6


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", FAST, ids=named)
def test_it_is_caught(mutant: Mutant, tree: Tree) -> None:
    caught = tree.notice(mutant, str(mutant.fast), limit_s=240)
    assert caught.what is not None, caught.said


@pytest.mark.timeout(300)
def test_without_a_bug_nothing_is_caught(tree: Tree) -> None:
    """The same histories on a clean copy, the only change being none."""
    for histories in sorted({mutant.histories for mutant in FAST}):
        seeds = ",".join(
            str(seed) for seed in sorted({m.fast for m in FAST if m.histories == histories and m.fast is not None})
        )
        for line in tree.play(histories, seeds, ["none"], limit_s=240):
            assert (line["fell"], line["stopped"]) == ([], "")


def test_an_error_is_not_taken_for_a_bug_that_was_caught(tree: Tree) -> None:
    """An import that fails, a type that is wrong: neither says anything of a guarantee."""
    file = "shared/runtime/acceptance.py"
    for broken in ("import nothing_of_this_name\n", 'LAST: int = "a" + 1  # type: ignore\n'):
        text = "from __future__ import annotations\n"
        test = "tests/unit/runtime/test_task_accepts.py::test_marks_never_go_back"
        mutant = Mutant("m", "3", "It holds.", (Edit(file, text, text + broken),), tests=(test,))
        assert tree.notice(mutant, "1", limit_s=120).what is None
    assert Path(tree.root / file).read_text() == (ROOT / file).read_text()
