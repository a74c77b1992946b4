"""What a replay ends with: the documented object, whether its counts add up, and the table that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_RECORDS = ("published", "accepted", "rejected", "late")
_MODEL = (
    "accepted", "before_first_model", "scored", "joined", "unlabelled", "unmatured", "metric", "quality",
    "quality_by_tenth", "retrainings", "promotions", "rollbacks", "alarms",
)  # fmt: skip
_COLUMNS = (
    ("accepted", "accepted"), ("before first", "before_first_model"), ("scored", "scored"), ("joined", "joined"),
    ("unlabelled", "unlabelled"), ("unmatured", "unmatured"), ("retrainings", "retrainings"),
    ("promotions", "promotions"), ("rollbacks", "rollbacks"),
)  # fmt: skip


def report(counts: Mapping[str, Any], source: str, models: Sequence[str], seconds: float) -> dict[str, Any]:
    """The object of docs/replay.md. `counts`: the console's `/v1/counts`, each figure of which has its own topic."""
    return {
        "seconds": round(seconds, 3),
        "records": {name: counts["sources"][source][name] for name in _RECORDS},
        "models": {model: {name: counts["models"][model][name] for name in _MODEL} for model in models},
    }


def discrepancies(report: Mapping[str, Any], dead: Mapping[str, int]) -> list[str]:
    """What does not add up, in words; empty if everything does."""
    found = [f"{count} records went to {service}.dead.v1" for service, count in dead.items() if count]
    for name, model in report["models"].items():
        scored = model["joined"] + model["unlabelled"] + model["unmatured"]
        if model["accepted"] != model["before_first_model"] + model["scored"]:
            found.append(
                f"model {name}: accepted {model['accepted']}, but before_first_model {model['before_first_model']} + "
                f"scored {model['scored']} = {model['before_first_model'] + model['scored']}"
            )
        if model["scored"] != scored:
            found.append(
                f"model {name}: scored {model['scored']}, but joined {model['joined']} + unlabelled "
                f"{model['unlabelled']} + unmatured {model['unmatured']} = {scored}"
            )
    return found


def show_table(report: Mapping[str, Any], console: Console) -> None:
    """The report as people read it."""
    records = report["records"]
    console.print(
        f"{records['published']:,} records published, {records['accepted']:,} accepted, {records['rejected']:,} "
        f"rejected, {records['late']:,} late, in {report['seconds']:.0f} s"
    )
    table = Table()
    for name in ("model", *(title for title, _ in _COLUMNS), "alarms", "quality"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, model in report["models"].items():
        quality = "-" if model["quality"] is None else f"{model['metric']} {model['quality']:.4f}"
        figures = [f"{model[key]:,}" for _, key in _COLUMNS]
        table.add_row(name, *figures, str(len(model["alarms"])), quality)
    console.print(table)
    for name, model in report["models"].items():
        tenths = " ".join("  -  " if one is None else f"{one:.3f}" for one in model["quality_by_tenth"])
        console.print(f"{name}: {model['metric']} by tenth of the stream: {tenths}", highlight=False)
