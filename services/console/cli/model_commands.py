"""`headrace models`, `runs`, `why`, and what people ask of a model: `approve`, `promote`, `rollback`, `retrain`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, By, ConsoleUrl, ask, connected, person
from services.console.cli.output import print_json, print_text, show, table
from shared.contracts.fitted_text import family_text

ModelName = Annotated[str, typer.Argument(help="a model that is declared")]
VersionNumber = Annotated[int, typer.Argument(min=1, help="a version of the model")]
RequestId = Annotated[
    str | None, typer.Option(help="an id of your own: the same command sent again under it counts once", metavar="ID")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (models, runs, why, approve, promote, rollback, retrain):
        app.command()(command)


def models(as_json: AsJson = False, console: ConsoleUrl = DEFAULT_CONSOLE) -> None:
    """Models, and what became of their versions."""
    found = ask(console, "/v1/models")
    if as_json:
        print_json(found)
        return
    rows = [row for model in found["models"] for row in _version_rows(model)]
    columns = ("model", "version", "status", "loss", "compared with", "its loss", "rows", "approved by", "control")
    numbers = ("version", "loss", "its loss", "rows", "control")
    show(table("Models", columns, rows, right=numbers) if rows else "no model is defined: headrace apply -f FILE")


def runs(
    model: Annotated[str | None, typer.Argument(help="only this model")] = None,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """Runs: why, fitted on what, and what came of it."""
    found = ask(console, "/v1/runs", model=model)
    if as_json:
        print_json(found)
        return
    rows = [_run_row(run) for run in found["runs"]]
    columns = (
        "model",
        "run",
        "reason",
        "at outcome",
        "status",
        "fitted on",
        "family",
        "loss",
        "its rival's",
        "s",
        "came of it",
    )
    show(
        table("Runs, oldest first", columns, rows, right=("at outcome", "loss", "its rival's", "s"))
        if rows
        else "no run yet"
    )


def why(
    model: ModelName,
    version: Annotated[int | None, typer.Option(min=1, help="a version; default: the one that answers")] = None,
    prediction: Annotated[
        str | None, typer.Option(help="the id of a record, request or prediction", metavar="ID")
    ] = None,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """Why a version answers: from its approval to its data."""
    found = ask(console, f"/v1/models/{model}/why", version=version, prediction=prediction)
    if as_json:
        print_json(found)
        return
    rows = [(r["link"], r["position"], r["time"], r["text"]) for r in found["reasons"]]
    made = table(
        f"Why {model} version {found['version']}", ("link", "control", "time", "what"), rows, right=("control",)
    )
    show(*([_predicted(found["prediction"])] if found["prediction"] else []), made)


def approve(
    model: ModelName, version: VersionNumber, by: By = None, request_id: RequestId = None,
    as_json: AsJson = False, console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:  # fmt: skip
    """Approve a version: its rollout begins."""
    _command(console, as_json, command="approve", model=model, version=version, by=person(by), request_id=request_id)


def promote(
    model: ModelName, version: VersionNumber, by: By = None, request_id: RequestId = None,
    as_json: AsJson = False, console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:  # fmt: skip
    """Let a version answer, without gate and rollout."""
    _command(console, as_json, command="promote", model=model, version=version, by=person(by), request_id=request_id)


def rollback(
    model: ModelName, by: By = None, request_id: RequestId = None, as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:  # fmt: skip
    """End the rollout, else return to the version before."""
    _command(console, as_json, command="rollback", model=model, by=person(by), request_id=request_id)


def retrain(
    model: ModelName, by: By = None, request_id: RequestId = None, as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:  # fmt: skip
    """Fit a model anew on what is labelled now."""
    _command(console, as_json, command="retrain", model=model, by=person(by), request_id=request_id)


def _command(console: str, as_json: bool, **body: Any) -> None:
    asked = {name: value for name, value in body.items() if value is not None}
    with connected(console) as client:
        found = client.post("/v1/commands", asked)
    if as_json:
        print_json(found)
        return
    decided = found["decided"]
    what = found["waits"] if decided is None else f"{decided['type']} at control position {decided['control']}"
    print_text(f"{body['command']} {body['model']}: {what}")


def _version_rows(model: dict[str, Any]) -> list[tuple[Any, ...]]:
    if not model["versions"]:
        waits = f"no version yet: {model['labelled']} of {model['minimum_rows']} labelled rows"
        return [(model["name"], None, waits, None, None, None, None, None, None)]
    rows: list[tuple[Any, ...]] = []
    for version in model["versions"]:
        gate = version["gate"]
        against = "constant" if gate["against"] is None else f"version {gate['against']}"
        rows.append(
            (
                model["name"], version["version"], version["status"], gate["candidate_loss"], against,
                gate["reference_loss"], gate["rows"], version["approved_by"], version["registered_at"],
            )
        )  # fmt: skip
    return rows


def _run_row(run: dict[str, Any]) -> tuple[Any, ...]:
    fitted = None if run["fitted_from"] is None else f"{run['fitted_from']} to {run['fitted_to']} ({run['window']})"
    status = f"{run['status']} {run['fraction']:.0%} {run['doing']}" if run["status"] == "running" else run["status"]
    came = run["failure"] or (None if run["version"] is None else f"version {run['version']}: {run['gate']}")
    family = run["family"] and family_text(run["family"], run["parameters"])
    duration = None if run["duration_s"] is None else round(run["duration_s"], 1)
    return (
        run["model"], run["run_id"][:8], run["reason"], run["position"], status, fitted, family,
        run["candidate_loss"], run["reference_loss"], duration, came,
    )  # fmt: skip


def _predicted(prediction: dict[str, Any]) -> str:
    answered = prediction["answered_by"]
    outputs = {version: output["output"] for version, output in prediction["outputs"].items()}
    said = "had no answer" if answered is None else f"was answered by version {answered}: {outputs.get(str(answered))}"
    share = f", share {prediction['share']:.0%} at split {prediction['split']:.4f}" if prediction["rollout_id"] else ""
    return (
        f"record {prediction['record_id']} at {prediction['time']} {said}{share}; "
        f"control position {prediction['control']}, inputs {prediction['inputs']}"
    )
