"""`headrace up`, `demo` and `replay`: they parse what is asked, and leave the rest to the local deployment."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, ConsoleUrl
from services.console.cli.failure import CommandFailed
from shared.contracts.services import SERVICES

PACE = re.compile(r"lockstep|max|[0-9]+(\.[0-9]+)?x")


BrokerName = Annotated[
    Literal["embedded", "kafka"],
    typer.Option("--broker", help="embedded: in memory; kafka: Apache Kafka, which keeps its data"),
]
PortBase = Annotated[
    int | None, typer.Option("--port-base", min=1024, max=65_000, help="the console's port; the services follow it")
]
Stays = Annotated[
    bool, typer.Option("--stay", help="leave its platform running at the end, to look at it; Ctrl-C stops it")
]


Instances = Annotated[
    list[str] | None,
    typer.Option("--instances", help="SERVICE=N: so many processes of it, which share its work", metavar="SERVICE=N"),
]
MOST_INSTANCES = 16


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(up)
    app.command()(demo)
    app.command()(replay)


def up(
    broker: BrokerName = "embedded",
    data: Annotated[Path, typer.Option(help="folder of run-time data")] = Path(".headrace"),
    fresh: Annotated[bool, typer.Option("--fresh", help="begin with empty state")] = False,
    definitions: Annotated[
        list[Path] | None, typer.Option("--definitions", "-f", help="definitions to apply; may be given several times")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="show the logs of all services")] = False,
    port_base: PortBase = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="say on standard output what happens, a JSON object a line, nothing else")
    ] = False,
    instances: Instances = None,
) -> None:
    """Start the platform on this machine; Ctrl-C stops it.

    With --json each line has an `event`: service_ready (service, seconds), service_not_ready (service, reasons),
    definitions_in_force (file), ready (broker, services: URL by name, embedded, data, logs), restarted (process, cause,
    deaths), stopped (reason).
    """
    _local_deployment("up")
    from deploy.local.options import BrokerKind, UpOptions
    from deploy.local.up import run_up

    options = UpOptions(
        BrokerKind(broker), data, fresh, tuple(definitions or ()), verbose, port_base, as_json, _counted(instances)
    )
    raise typer.Exit(run_up(options))


def _counted(instances: list[str] | None) -> dict[str, int]:
    counted: dict[str, int] = {}
    for said in instances or ():
        service, _, number = said.partition("=")
        if service not in SERVICES or not number.isdigit() or not 1 <= int(number) <= MOST_INSTANCES:
            raise typer.BadParameter(
                f"{said!r} is none of {', '.join(SERVICES)} with a number from 1 to {MOST_INSTANCES}, as in features=2",
                param_hint="--instances",
            )
        counted[service] = int(number)
    return counted


def demo(
    seed: Annotated[int, typer.Option(help="which stream is made")] = 7,
    bad_candidate: Annotated[bool, typer.Option("--bad-candidate", help="a worse candidate, which is stopped")] = False,
    no_drift: Annotated[bool, typer.Option("--no-drift", help="a stream that does not change")] = False,
    port_base: PortBase = None,
    data: Annotated[Path | None, typer.Option(help="folder of run-time data; default: one that is removed")] = None,
    stay: Stays = False,
    as_json: AsJson = False,
) -> None:
    """The whole loop in about 90 s, on a made-up stream."""
    _local_deployment("demo")
    from deploy.local.demo import run_demo
    from deploy.local.options import DemoOptions

    raise typer.Exit(run_demo(DemoOptions(seed, bad_candidate, no_drift, as_json, port_base, data, stay)))


def replay(
    definitions: Annotated[Path, typer.Argument(help="definitions, with a document of kind Replay")],
    file: Annotated[Path, typer.Argument(help="a CSV or Parquet file")],
    local: Annotated[bool, typer.Option("--local", help="start a platform for it, and stop it afterwards")] = False,
    broker: BrokerName = "embedded",
    label_delay: Annotated[
        str | None, typer.Option(help="hold labels back by records (48) or by a duration (2h)", metavar="TEXT")
    ] = None,
    pace: Annotated[str, typer.Option(help="lockstep, max, or a factor such as 100x")] = "lockstep",
    block: Annotated[int | None, typer.Option(min=1, help="records of a lockstep block")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only so many records of the file")] = None,
    data: Annotated[Path | None, typer.Option(help="with --local: folder of run-time data")] = None,
    stay: Stays = False,
    instances: Instances = None,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """Publish a file as an event stream; report the outcome."""
    if not PACE.fullmatch(pace):
        raise typer.BadParameter(f"{pace!r} is no pace: lockstep, max, or a factor such as 100x", param_hint="--pace")
    if instances and not local:
        raise typer.BadParameter("it needs --local: `headrace up` takes it for any other", param_hint="--instances")
    if stay and not local:
        raise typer.BadParameter("it needs --local: any other platform runs on anyway", param_hint="--stay")
    _local_deployment("replay")
    from deploy.local.options import BrokerKind, ReplayOptions
    from deploy.local.replay import run_replay

    options = ReplayOptions(
        definitions, file, local, BrokerKind(broker), label_delay, pace, block, limit, as_json, data, console, stay,
        _counted(instances),
    )  # fmt: skip
    raise typer.Exit(run_replay(options))


def _local_deployment(command: str) -> None:
    """An image of the console holds no local deployment. Raises CommandFailed."""
    if find_spec("deploy") is None:
        raise CommandFailed(
            f"`headrace {command}` needs the whole project, and this is the console alone: "
            "clone the project, and run it there after `make setup`"
        )
