"""What a backtest of detectors found, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.console.cli.output import show, table

Findings = Mapping[str, Any]
_ALARMS = (
    "position",
    "record",
    "event time",
    "version",
    "since",
    "before",
    "since then",
    "evidence",
    "threshold",
    "raised",
    "next version",
)


def show_drift(found: Findings) -> None:
    """Tables on standard output: the losses, what was really raised, then each configuration."""
    show(_stretches(found), "")
    show(_raised(found), "")
    for configuration in found["configurations"]:
        _show_configuration(configuration)
    show(_how_to_read(found))


def _stretches(found: Findings) -> Any:
    columns = ("version", "outcomes", "losses", "mean loss", "autocorrelation time")
    rows = [
        (s["version"], f"{s['first']:,} to {s['last']:,}", s["losses"], s["mean"], s["autocorrelation_time"])
        for s in found["stretches"]
    ]
    losses = f"{found['losses']:,} losses ({found['metric']}, bounded)"
    title = f"{found['model']}: {losses} of {found['outcomes']:,} decided outcomes"
    return table(title, columns, rows, right=columns)


def _raised(found: Findings) -> Any:
    alarms = found["raised"]
    if not alarms:
        return "no alarm was really raised on these outcomes"
    columns = ("position", "version", "since", "monitor", "detector")
    rows = [tuple(alarm[name] for name in columns) for alarm in alarms]
    return table("Alarms that were really raised", columns, rows, right=columns[:3])


def _show_configuration(found: Findings) -> None:
    alarms, force = found["alarms"], ", as in force" if found["in_force"] else ""
    count = f"{len(alarms)} alarm{'' if len(alarms) == 1 else 's'}"
    numbers = (_ALARMS[0], *_ALARMS[3:])
    rows = [
        (
            a["position"], a["record_id"], a["time"], a["version"], a["since"], a["mean_before"], a["mean_since"],
            a["evidence"], a["threshold"], a["raised"], a["replaced"],
        )
        for a in alarms
    ]  # fmt: skip
    title = f"{found['name']}{force}: {count}"
    show(table(title, _ALARMS, rows, right=numbers) if rows else title)
    if found["missed"]:
        show(f"raised then, and not by this: {', '.join(f'{position:,}' for position in found['missed'])}")
    if found["no_estimate"]:
        show(f"no estimate: {found['no_estimate']}", "")
        return
    show(_false_alarms(found["false_alarms"]), _delays(found["delays"]))


def _false_alarms(found: Findings) -> str:
    if not found["outcomes"]:
        return "false alarms: no permutation has a reference that bounds its mean: give more --reference-outcomes"
    watched = f"{found['outcomes']:,} permuted outcomes ({found['permutations']:,} permutations)"
    cut = "; cut off, so another machine gives another figure: see --seconds" if found["cut_off"] else ""
    if not found["alarms"]:
        return f"false alarms: none in {watched}: fewer than one in {_rounded(found['low'])} (95 %){cut}"
    return (
        f"false alarms: {found['alarms']:,} in {watched}: one in {_rounded(found['run_length'])} "
        f"(95 %: {_rounded(found['low'])} to {_rounded(found['high'])}){cut}"
    )


def _delays(delays: list[Findings]) -> Any:
    columns = ("mean loss rises by", "found", "median delay", "95 %", "alarmed before")
    rows: list[tuple[Any, ...]] = []
    for delay in delays:
        rise = f"+{delay['rise']:.2f}"
        if not delay["possible"]:
            rows.append((rise, "these losses allow no such rise", None, None, None))
            continue
        beyond = f"over {delay['within']:,}"
        span = " to ".join(beyond if end is None else f"{end:,.0f}" for end in (delay["low"], delay["high"]))
        median = beyond if delay["median"] is None else f"{delay['median']:,.0f}"
        cut = " (cut off)" if delay["cut_off"] else ""
        none = not delay["runs"]
        rows.append((rise, f"{delay['found']} of {delay['runs']}{cut}", None if none else median,
                     None if none else span, delay["early"]))  # fmt: skip
    return table("Outcomes from a rise put into permuted losses to the alarm", columns, rows, right=columns)


def _how_to_read(found: Findings) -> str:
    return (
        "before, since then: mean losses. raised: the alarm that was really raised on that change. next version: the\n"
        "first outcome of the version that was promoted next. Permuted losses hold no change, so every alarm on them\n"
        f"is false. Seed {found['seed']}."
    )


def _rounded(figure: float | None) -> str:
    """Three digits, for the rest is noise."""
    return "-" if figure is None else f"{float(f'{figure:.3g}'):,.0f}"
