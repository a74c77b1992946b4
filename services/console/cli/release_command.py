"""`headrace release`: before a service's code that derives other events takes the place of what runs."""

from __future__ import annotations

from typing import Annotated

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, ConsoleUrl, connected
from services.console.cli.output import print_json, print_text
from shared.contracts.services import SERVICES


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(release)


def release(
    service: Annotated[str, typer.Argument(help=f"one of {', '.join(SERVICES)}")],
    number: Annotated[int, typer.Argument(min=2, help="the release of its code that comes next", metavar="RELEASE")],
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """Let the running code of a service stop where the next release begins."""
    with connected(console) as client:
        told = client.post("/v1/releases", {"service": service, "release": number})
    if as_json:
        print_json(told)
        return
    print_text(
        f"release {number} of {service} begins at the first entry of each log that shows control position "
        f"{told['control']}; what runs stops there"
    )
