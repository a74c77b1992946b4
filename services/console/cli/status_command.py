"""`headrace status`: services, sources and models at one glance, once or as a live table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, ConsoleUrl, connected
from services.console.cli.failure import ConsoleAway
from services.console.cli.output import cell, print_json, show, table

if TYPE_CHECKING:
    from rich.console import Group

    from services.console.cli.console_client import ConsoleClient


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="go on until Ctrl-C")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="with --watch: seconds between two looks")] = 1.0,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """What runs, what came in, what answers and how well."""
    with connected(console) as client:
        first = client.get("/v1/status")
        if watch and as_json:
            _watch_json(client, first, interval)
        elif watch:
            _watch(client, first, interval)
        elif as_json:
            print_json(first)
        else:
            show(view(first))


def _watch_json(client: ConsoleClient, document: dict[str, Any], interval_s: float) -> None:
    """One document a line."""
    while True:
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        time.sleep(interval_s)
        document = client.get("/v1/status")


def _watch(client: ConsoleClient, document: dict[str, Any], interval_s: float) -> None:
    from rich.live import Live

    seen, seen_s = document, time.monotonic()
    with Live(view(document), auto_refresh=False, screen=sys.stdout.isatty()) as live:
        while True:
            time.sleep(interval_s)
            try:
                document = client.get("/v1/status")
            except ConsoleAway as away:
                live.update(f"{away}\nlooking again", refresh=True)
                continue
            now_s = time.monotonic()
            live.update(view(document, rates(seen, document, now_s - seen_s)), refresh=True)
            seen, seen_s = document, now_s


def rates(before: dict[str, Any], now: dict[str, Any], seconds: float) -> dict[str, float]:
    """Records accepted a second, of each source that both documents know."""
    known = before["sources"]
    return {
        name: max(0, counts["accepted"] - known[name]["accepted"]) / seconds
        for name, counts in now["sources"].items()
        if name in known and seconds > 0
    }


def view(document: dict[str, Any], per_second: dict[str, float] | None = None) -> Group:
    """The tables of one status."""
    from rich.console import Group
    from rich.text import Text

    log = f"log {document['log_id'][:8]}" if document["log_id"] else "not founded yet"
    head = f"{log}  control position {document['control']}"
    ticks = "  ".join(f"{clock} {at}" for clock, at in document["ticks"].items())
    return Group(
        Text(f"{head}  {ticks}".rstrip()),
        _services(document),
        _sources(document, per_second),
        _models(document),
        *_monitors(document),
    )


def _services(document: dict[str, Any]) -> Any:
    rows = [(name, s["state"], s.get("lag"), s.get("pending"), _said(s)) for name, s in document["services"].items()]
    return table("Services", ("service", "state", "lag", "pending", ""), rows, right=("lag", "pending"))


def _said(service: dict[str, Any]) -> str:
    said = [service["error"]] if "error" in service else [*service["waiting"].values(), *service["doing"]]
    return "; ".join(said[:3])


def _sources(document: dict[str, Any], per_second: dict[str, float] | None) -> Any:
    numbers = ("published", "accepted", "late", "rejected")
    rows: list[tuple[Any, ...]] = []
    for name, counts in document["sources"].items():
        reasons = ", ".join(f"{reason} {n}" for reason, n in counts["rejected_by_reason"].items())
        rate = None if per_second is None or name not in per_second else round(per_second[name], 1)
        rows.append((name, *(counts[number] for number in numbers), rate, reasons))
    return table("Sources", ("source", *numbers, "per s", ""), rows, right=(*numbers, "per s"))


def _models(document: dict[str, Any]) -> Any:
    figures = ("scored", "joined", "quality", "newest", "estimated", "alarms", "retrained", "promoted")
    columns = ("model", "answers", *figures, "now")
    rows = [_model_row(name, model) for name, model in document["models"].items()]
    return table("Models", columns, rows, right=columns[1:-1])


def _model_row(name: str, model: dict[str, Any]) -> tuple[Any, ...]:
    counts, newest = model["counts"], model["newest_quality"]
    quality = None if counts["quality"] is None else f"{counts['metric']} {counts['quality']:.4f}{_revised(counts)}"
    recent = newest["window"].get(counts["metric"]) if newest else None
    answers = None if model["champion"] is None else f"version {model['champion']}"
    figures = (
        counts["scored"],
        counts["joined"],
        quality,
        None if recent is None else f"{recent:.4f}",
        estimated(newest),
    )
    events = (len(counts["alarms"]), counts["retrainings"], counts["promotions"])
    return (name, answers, *figures, *events, doing(model))


def estimated(newest: Mapping[str, Any] | None) -> str | None:
    """The accuracy expected of the newest records, and by how much an earlier estimate was too high."""
    if newest is None or "accuracy" not in newest.get("estimated", {}):
        return None
    error = newest.get("estimate_error", {}).get("accuracy")
    said = f"accuracy {newest['estimated']['accuracy']:.4f}"
    return said if error is None else f"{said} (last off by {error:+.4f})"


def _monitors(document: dict[str, Any]) -> list[Any]:
    """What watches each champion, and against what, or why nothing does; no table before the first version."""
    rows: list[tuple[Any, ...]] = []
    for name, model in document["models"].items():
        quality = model["newest_quality"] or {}
        rows += [(name, monitor, what) for monitor, what in quality.get("monitored", {}).items()]
        if model["newest_moved"] and model["newest_moved"]["version"] == model["champion"]:
            rows.append((name, "moved", moved(model["newest_moved"])))
    return [table("Monitors", ("model", "monitor", "monitors"), rows)] if rows else []


def moved(alarm: dict[str, Any]) -> str:
    """The newest inputs that moved, in words."""
    told = [f"{one['feature']} ({one['statistic']})" for one in alarm["features"] if one["feature"] in alarm["told"]]
    return f"{', '.join(told)}, by scored record {alarm['position'] - 1}"


def doing(model: dict[str, Any]) -> str:
    """What happens to a model at the moment, in words."""
    said: list[str] = []
    if model["run"]:
        run = model["run"]
        said.append(f"run ({run['reason']}) {run['fraction']:.0%} {run['doing']}".rstrip())
    if model["rollout"]:
        rollout = model["rollout"]
        share = f" {rollout['share']:.0%} of traffic" if rollout["share"] else ""
        said.append(f"version {rollout['candidate']} in {rollout['phase']}{share}{_stands(rollout.get('figures'))}")
    if model["champion"] is None and not said:
        said.append(no_version(model))
    return "; ".join(said)


def _revised(counts: Mapping[str, Any]) -> str:
    """What corrected labels make of a quality that was as it is shown when each outcome was decided."""
    revised = counts.get("quality_revised")
    return "" if revised is None or not counts["revised"] else f" (revised {revised:.4f})"


def _stands(figures: Mapping[str, Any] | None) -> str:
    """What the judge has seen so far."""
    if figures is None or figures["mean_difference"] is None:
        return ""
    within = f"in [{figures['lower']:+.3f}, {figures['upper']:+.3f}]"
    evidence = f"e-value {figures['e_value']:.3g} of {figures['threshold']:.3g}"
    return f": loss {figures['mean_difference']:+.4f} {within} over {cell(figures['outcomes'])} pairs, {evidence}"


def no_version(model: Mapping[str, Any]) -> str:
    """What a model waits for until its first version, and what does not count: labels that came too late."""
    said = f"{cell(model['labelled'])} of {cell(model['minimum_rows'])} labelled rows for the first version"
    revised = model["counts"]["revised"]
    if revised and model["labelled"] < model["minimum_rows"]:
        said += f"; {cell(revised)} labels came after label.matures_after and count as revisions only"
    return said
