"""The program `headrace`: its commands, and how its errors end it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.core import TyperGroup
from typer.main import get_command

from services.console.cli import (
    apply_command,
    archive_command,
    backtest_commands,
    dead_commands,
    doctor_command,
    local_commands,
    model_commands,
    record_commands,
    release_command,
    status_command,
)
from shared.contracts.errors import HeadraceError
from shared.runtime.log import LogError

app = typer.Typer(
    name="headrace",
    help="Headrace keeps your models good: events in, predictions out, and models that heal themselves.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for commands in (
    local_commands, apply_command, status_command, record_commands, dead_commands, doctor_command, archive_command,
    backtest_commands, model_commands, release_command,
):  # fmt: skip
    commands.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, that of the process by default; the exit code. What goes wrong is said in one message on
    standard error."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given[-1:] == ["--help"]:
            _help(given[:-1])
        app(args=given)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except (HeadraceError, LogError) as failed:
        sys.stderr.write(f"headrace: {failed}\n")
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is left must not fail a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _help(names: Sequence[str]) -> None:
    """Ends the program with the help of one command, or of one within a group, if there is one of that name."""
    # Asked through the program, typer would first check the program's own options, and load pydantic for it.
    command = get_command(app)
    for name in names:
        if not isinstance(command, TyperGroup) or name not in command.commands:
            return
        command = command.commands[name]
    if names:
        command.main(args=["--help"], prog_name=" ".join((str(app.info.name), *names)))
