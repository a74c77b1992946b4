"""The tree of errors.

HeadraceError
├── UnreadableEvent
├── DefinitionsInvalid
├── ForeignLog
└── (each module adds its own leaves)
"""

from __future__ import annotations


class HeadraceError(Exception):
    """What happened, why, and what to do: said in one message."""


class UnreadableEvent(HeadraceError):
    """Bytes in a log that are no event of ours."""


class DefinitionsInvalid(HeadraceError):
    """Definitions that were refused as a whole."""


class ForeignLog(HeadraceError):
    """State that was made beside another log."""
