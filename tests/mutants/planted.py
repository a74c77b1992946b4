"""Every planted bug."""

from __future__ import annotations

from tests.mutants import of_decisions, of_marks, of_tables, of_tasks, of_the_clients, of_the_flow
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *of_tasks.MUTANTS,
    *of_marks.MUTANTS,
    *of_tables.MUTANTS,
    *of_the_flow.MUTANTS,
    *of_decisions.MUTANTS,
    *of_the_clients.MUTANTS,
)
