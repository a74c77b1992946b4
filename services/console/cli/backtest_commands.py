"""`headrace backtest`: what a setting would have done on what a model has recorded, before it is put in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, ConsoleUrl
from services.console.cli.output import print_json, say
from shared.contracts.detectors import Detector

Model = Annotated[str, typer.Argument(help="the model", metavar="MODEL")]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", envvar="HEADRACE_DATA", help="the platform's folder of data; default: .headrace"),
]
First = Annotated[int, typer.Option("--from", min=0, help="the first decided outcome, counted from 0", metavar="N")]
Last = Annotated[int | None, typer.Option("--to", min=1, help="the outcome behind the last", metavar="N")]
Seed = Annotated[int, typer.Option(help="of what is drawn at random: the same one gives the same figures")]

backtest = typer.Typer(
    name="backtest", help="Try a setting on what a model has recorded, before it is in force.", no_args_is_help=True
)


@backtest.callback()
def group() -> None:
    """Try a setting on what a model has recorded, before it is in force."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    backtest.command("drift")(drift)
    backtest.command("policy")(policy)
    app.add_typer(backtest)


def drift(
    model: Model,
    detector: Annotated[
        list[Detector] | None,
        typer.Option("--detector", help="may be given several times; default: the one in force"),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameters", help="of river's detectors: delta=0.01, or adwin.delta=0.01", metavar="NAME=N"),
    ] = None,
    expected_run_length: Annotated[float | None, typer.Option(help="of e_detector; default: as in force")] = None,
    tolerance: Annotated[float | None, typer.Option(help="of e_detector; default: as in force")] = None,
    reference_outcomes: Annotated[int | None, typer.Option(help="default: as in force")] = None,
    first: First = 0,
    last: Last = None,
    seed: Seed = 7,
    outcomes: Annotated[int, typer.Option(min=1, help="permuted outcomes to count false alarms on")] = 1_000_000,
    seconds: Annotated[
        float, typer.Option(min=1, help="after so long the estimates of one detector are cut off")
    ] = 120,
    data: DataFolder = None,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """The alarms that a detector would have raised on a model's recorded losses, and how often and how soon it alarms.

    Asks the console what was decided, and reads the archive of outcomes (HEADRACE_OBJECT_STORE, else objects in the
    folder of data; the newest outcomes lie in monitoring's files there). Changes nothing.
    """
    from services.console.cli.backtest_parameters import configurations
    from services.console.cli.backtest_run import Asked, ran
    from services.console.cli.backtest_tables import show_drift

    otherwise = {
        "expected_run_length": expected_run_length,
        "tolerance": tolerance,
        "reference_outcomes": reference_outcomes,
    }
    wanted = configurations(detector, parameters or [], {n: v for n, v in otherwise.items() if v is not None})
    more: dict[str, Any] = {
        "configurations": wanted, "first": first, "last": last, "seed": seed, "outcomes": outcomes, "seconds": seconds,
    }  # fmt: skip
    _print(ran("services.monitoring.backtest", Asked(model, console, data, more)), as_json, show_drift)


def policy(
    model: Model,
    retrain: Annotated[
        list[str] | None,
        typer.Option(
            "--retrain",
            help="evidence,cost=30,cooldown=2d; every,rows=2000; never; may be given again; default: as in force",
            metavar="TEXT",
        ),
    ] = None,
    rollout: Annotated[
        list[str] | None,
        typer.Option(
            "--rollout",
            help="shadow=true,steps=5/25/100,alpha=0.01; none; may be given again; default: as in force",
            metavar="TEXT",
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            min=50, help="rows between two retrainings of the periodic one; default: as often as the first", metavar="N"
        ),
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="nothing static or periodic beside them")] = False,
    first: First = 0,
    last: Last = None,
    data: DataFolder = None,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """What a model's recorded outcomes would have come to under other settings of retrain and rollout.

    Plays them through the decisions of monitoring, training and registry with real fits, and beside them never
    retraining and retraining every so many rows. Asks the console and reads the archive as `backtest drift` does.
    """
    from services.console.cli.backtest_policies import retrain_settings, rollout_settings
    from services.console.cli.backtest_policy_tables import show_policy
    from services.console.cli.backtest_run import Asked, ran

    more: dict[str, Any] = {
        "retrains": retrain_settings(retrain or []), "rollouts": rollout_settings(rollout or []),
        "every": every, "alone": alone, "first": first, "last": last,
    }  # fmt: skip
    _print(ran("deploy.backtest", Asked(model, console, data, more)), as_json, show_policy)


def _print(found: Mapping[str, Any], as_json: bool, show: Callable[[Mapping[str, Any]], None]) -> None:
    for warning in found["warnings"]:
        say(f"warning: {warning}")
    if as_json:
        print_json(found)
    else:
        show(found)
