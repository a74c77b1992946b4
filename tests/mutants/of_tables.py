"""Planted where tables are copied, and begun with a copy."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

STARTS = "shared/runtime/table_starts.py"

MUTANTS = (
    Mutant(
        "a table begins with its copy and not with its sequences",
        "3, tables",
        "A new reader loads the newest copy and follows the log from its sequences.",
        (
            Edit(
                STARTS,
                "return Start(copy.position, copy.sequences, read.rows)",
                "return Start(copy.position, {}, read.rows)",
            ),
        ),
        falls=("replicas",),
        histories="tables",
    ),
    Mutant(
        "a table's copy is told further than it goes",
        "3, tables",
        "A copy holds what the log says up to the position that it names.",
        (
            Edit(
                "services/features/table_copier.py",
                "        position = job.standing.position\n",
                "        position = (self._process.followed.standing(job.tp) or job.standing).position\n",
            ),
        ),
        falls=(9,),
        histories="tables",
    ),
    Mutant(
        "the older of two copies is removed as well",
        "3, tables",
        "Two copies are kept, and retention is longer than two.",
        (
            Edit(
                "shared/runtime/table_copies.py",
                '.partition("-")[0]) < position])',
                '.partition("-")[0]) <= position])',
            ),
        ),
        falls=(9,),
        histories="tables",
    ),
    Mutant(
        "a table is begun where its log begins, whatever is gone",
        "3, tables",
        "A table that cannot be had whole is not begun at all.",
        (Edit(STARTS, "        if begins == 0:\n", "        if begins >= 0:\n"),),
        tests=(
            "tests/unit/runtime/test_tables.py"
            "::test_what_is_neither_in_the_log_nor_in_a_copy_is_named_and_the_next_copy_is_waited_for",
        ),
    ),
)
