"""Options that several commands have."""

from __future__ import annotations

import getpass
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from services.console.cli.console_client import ConsoleClient

DEFAULT_CONSOLE = "http://127.0.0.1:8100"

ConsoleUrl = Annotated[
    str, typer.Option("--console", envvar="HEADRACE_CONSOLE_URL", help="URL of the console", metavar="URL")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON on standard output, and nothing else there")]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="so many at most")]
By = Annotated[str | None, typer.Option("--by", help="who asks; default: your user name", metavar="NAME")]


@contextmanager
def connected(url: str) -> Generator[ConsoleClient]:
    """The console at a URL, with the token of HEADRACE_TOKEN."""
    from services.console.cli.console_client import ConsoleClient

    client = ConsoleClient(url, os.environ.get("HEADRACE_TOKEN", ""))
    try:
        yield client
    finally:
        client.close()


def ask(url: str, path: str, **query: Any) -> Any:
    """One answer of the console."""
    with connected(url) as client:
        return client.get(path, **query)


def person(by: str | None) -> str:
    """Who asks. A process without a user name is called so."""
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
