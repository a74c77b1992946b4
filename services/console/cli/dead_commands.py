"""`headrace dead`: what handlers could not take, and how it enters their input again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, By, ConsoleUrl, Limit, ask, connected, person
from services.console.cli.output import print_json, print_text, show, table

SHORT_ID = 8
LetterId = Annotated[str, typer.Argument(help="the letter's id, or how it begins", metavar="LETTER")]
dead = typer.Typer(
    name="dead", help="Dead letters: records and timers that a handler could not take.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    dead.command("list")(list_letters)
    dead.command("show")(show_letter)
    dead.command("replay")(replay_letter)
    app.add_typer(dead)


def list_letters(
    service: Annotated[str | None, typer.Argument(help="only this service's")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """The newest dead letters of all services, newest first."""
    found = ask(console, "/v1/dead", service=service, limit=limit)
    if as_json:
        print_json(found)
        return
    columns = ("letter", "time", "task", "stood at", "error", "reason", "replayed")
    rows = [_row(letter) for letter in found["dead"]]
    show(table("Dead letters, newest first", columns, rows) if rows else "there is no dead letter")


def show_letter(letter: LetterId, as_json: AsJson = False, console: ConsoleUrl = DEFAULT_CONSOLE) -> None:
    """One dead letter: key, value and headers, and the stack trace."""
    found = ask(console, f"/v1/dead/{letter}")
    if as_json:
        print_json(found)
        return
    named = ("letter_id", "time", "service", "task", "error", "reason", "event_id", "trace_id", "timer")
    lines = [(name, found[name]) for name in named if found[name] is not None]
    lines += [("stood at", _place(found)), ("key", _said(found["key"]))]
    replayed = found["replayed"]
    if replayed is not None:
        lines.append(("replayed", f"{replayed['time']} by {replayed['by']}, to {_place(replayed)}"))
    lines += [(f"header {header['name']}", _said(header["value"])) for header in found["headers"]]
    show(table("Dead letter", ("", ""), lines), f"value, {found['length']:,} bytes")
    if found["value_as"] == "json":
        print_json(found["value"])
    else:
        print_text(_said(found["value"]))
    print_text(f"\n{found['stack_trace']}")


def replay_letter(
    letter: LetterId, by: By = None, as_json: AsJson = False, console: ConsoleUrl = DEFAULT_CONSOLE
) -> None:
    """Let it enter its task's input again; asked twice, it counts once.

    Do so when what made it fail is mended: otherwise it becomes another letter.
    """
    with connected(console) as client:
        found = client.post(f"/v1/dead/{letter}/replay", {"by": person(by)})
    if as_json:
        print_json(found)
        return
    replayed = found["replayed"]
    print_text(
        f"letter {found['letter_id']} stands at {_place(replayed)} again, since {replayed['time']} "
        f"(by {replayed['by']}, control {replayed['control']})"
    )


def _row(letter: dict[str, Any]) -> tuple[Any, ...]:
    replayed = letter["replayed"]
    what = (letter["letter_id"][:SHORT_ID], letter["time"], letter["task"], _place(letter))
    return (*what, letter["error"], letter["reason"], replayed and replayed["time"])


def _place(found: dict[str, Any]) -> str:
    if found["offset"] < 0:
        return f"timer {found['timer']}" if found.get("timer") else f"{found['topic']}/{found['partition']}"
    return f"{found['topic']}/{found['partition']}@{found['offset']}"


def _said(value: Any) -> str:
    return f"hex {value['hex']}" if isinstance(value, dict) else "-" if value is None else str(value)
