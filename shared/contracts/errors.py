"""The tree of errors.

HeadraceError
├── UnreadableEvent
├── DefinitionsInvalid
├── ForeignLog
└── (each module adds its own leaves)
"""

from __future__ import annotations

from collections.abc import Sequence


class HeadraceError(Exception):
    """What happened, why, and what to do: said in one message."""


class UnreadableEvent(HeadraceError):
    """Bytes in a log that are no event of ours."""


class DefinitionsInvalid(HeadraceError):
    """Definitions that were refused as a whole: every problem, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join((*problems, f"{count}: nothing was put in force; mend the definitions and try again"))
        )


class ForeignLog(HeadraceError):
    """State that was made beside another log."""
