"""What a backtest of policies found, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.console.cli.output import show, table

Findings = Mapping[str, Any]


def show_policy(found: Findings) -> None:
    """Tables on standard output: what the configurations gave, what they did, and the first one's retrainings."""
    show(
        f"{found['model']}: {found['outcomes']:,} decided outcomes, {found['labelled']:,} with a label; compared on "
        f"the {found['compared']:,} that every configuration answered"
    )
    _show_quality(found)
    _show_work(found["configurations"])
    _show_runs(found["configurations"][0])


def _show_quality(found: Findings) -> None:
    configurations = found["configurations"]
    figures = (*configurations[0]["quality"], f"loss ({found['metric']}, bounded)", "less static", "95 %")
    rows = [
        (one["name"], *one["quality"].values(), one["loss"], *_difference(one["less_static"])) for one in configurations
    ]
    show(table("", ("configuration", *figures), rows, figures))


def _difference(found: Findings | None) -> tuple[str | None, str | None]:
    if found is None:
        return None, None
    return f"{found['mean']:+.4f}", f"{found['low']:+.4f} to {found['high']:+.4f}"


def _show_work(configurations: list[Findings]) -> None:
    names = ("retrainings", "refused", "rejected", "promoted", "others", "paying_alarms", "cpu_s")
    columns = ("retrainings", "gate refused", "rollout rejected", "promoted", "others", "alarms that paid", "CPU s")
    rows = [
        (one["name"], *(f"{value:.1f}" if isinstance(value := one[name], float) else value for name in names))
        for one in configurations
    ]
    show(table("", ("configuration", *columns), rows, columns))


def _show_runs(one: Findings) -> None:
    if not one["runs"]:
        show(f"{one['name']}: no retraining after the first version")
        return
    columns = (
        "position",
        "event time",
        "reason",
        "version",
        "window",
        "rows",
        "candidate",
        "against",
        "less",
        "outcome",
    )
    rows = [
        (run["position"], run["time"], _asked(run), run["version"], run["window"], *_gate(run["gate"]), run["outcome"])
        for run in one["runs"]
    ]
    show(f"retrainings of {one['name']}", table("", columns, rows, (columns[0], columns[3], *columns[5:9])))
    for run in one["runs"]:
        if run["reason"]:
            show(f"{run['position']:,}: {run['outcome']}: {run['reason']}")
    show("rows, candidate, against, less: the gate's rows, mean losses and their difference with its standard error")


def _asked(run: Findings) -> str:
    return f"{run['asked']}: {run['monitor']}" if run["monitor"] else run["asked"]


def _gate(gate: Findings | None) -> tuple[Any, ...]:
    if gate is None:
        return None, None, None, None
    less = f"{gate['mean_difference']:+.4f} ± {gate['standard_error']:.4f}"
    return gate["rows"], gate["candidate_loss"], gate["reference_loss"], less
