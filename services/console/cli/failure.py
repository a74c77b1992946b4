"""What a command says when it cannot do what was asked."""

from __future__ import annotations

from shared.contracts.errors import HeadraceError


class CommandFailed(HeadraceError):
    """What happened, why, and the command that mends it."""


class ConsoleAway(CommandFailed):
    """No console answers."""

    def __init__(self, url: str, reason: str = "") -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"nothing answers at {url}{why}: start the platform with `headrace up`, "
            "or say where its console is with --console or HEADRACE_CONSOLE_URL"
        )
