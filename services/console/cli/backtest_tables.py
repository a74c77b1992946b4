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
    _show_stretches(found)
    _show_raised(found["raised"])
    for configuration in found["configurations"]:
        _show_configuration(configuration, found)
    show(_how_to_read(found))


def _show_stretches(found: Findings) -> None:
    columns = ("version", "outcomes", "losses", "mean loss", "autocorrelation time")
    rows = [
        (s["version"], f"{s['first']:,} to {s['last']:,}", s["losses"], s["mean"], s["autocorrelation_time"])
        for s in found["stretches"]
    ]
    losses = f"{found['losses']:,} losses ({found['metric']}, bounded)"
    show(f"{found['model']}: {losses} of {found['outcomes']:,} decided outcomes", table("", columns, rows, columns))


def _show_raised(alarms: list[Findings]) -> None:
    if not alarms:
        show("no alarm was really raised on these outcomes", "")
        return
    columns = ("position", "version", "since", "monitor", "detector")
    rows = [tuple(alarm[name] for name in columns) for alarm in alarms]
    show("alarms that were really raised", table("", columns, rows, columns[:3]))


def _show_configuration(found: Findings, all_found: Findings) -> None:
    alarms, force = found["alarms"], ", as in force" if found["in_force"] else ""
    rows = [
        (
            a["position"], a["record_id"], a["time"], a["version"], a["since"], a["mean_before"], a["mean_since"],
            a["evidence"], a["threshold"], a["raised"], a["replaced"],
        )
        for a in alarms
    ]  # fmt: skip
    count = f"{len(alarms)} alarm{'' if len(alarms) == 1 else 's'}"
    show(f"{found['name']}{force}: {count}, {found['watched']:,} of {all_found['losses']:,} losses watched")
    if rows:
        show(table("", _ALARMS, rows, right=(_ALARMS[0], *_ALARMS[3:])))
    if found["missed"]:
        show(f"raised then, and not by this: {', '.join(f'{position:,}' for position in found['missed'])}")
    if found["no_estimate"]:
        show(f"no estimate: {found['no_estimate']}", "")
        return
    _show_false_alarms(found["false_alarms"], found["monitor"]["reference_outcomes"])
    _show_delays(found["delays"])


def _show_false_alarms(found: Findings, reference: int) -> None:
    watched = f"{found['outcomes']:,} permuted outcomes ({found['permutations']:,} permutations)"
    if found["unbounded"]:
        show(
            f"in {found['unbounded']:,} of {found['permutations']:,} permutations nothing is watched: their first "
            f"{reference:,} losses hang together too much to bound a mean; try more --reference-outcomes"
        )
    if not found["outcomes"]:
        return
    cut = "; cut off, so another machine gives another figure: see --seconds" if found["cut_off"] else ""
    if not found["alarms"]:
        show(f"false alarms: none in {watched}: fewer than one in {_rounded(found['low'])} (95 %){cut}")
        return
    show(
        f"false alarms: {found['alarms']:,} in {watched}: one in {_rounded(found['run_length'])} "
        f"(95 %: {_rounded(found['low'])} to {_rounded(found['high'])}){cut}"
    )


def _show_delays(delays: list[Findings]) -> None:
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
        figures = (median, span) if delay["runs"] else (None, None)
        rows.append((rise, f"{delay['found']} of {delay['runs']}{cut}", *figures, delay["early"]))
    show("outcomes from a rise that is put into permuted losses to the alarm", table("", columns, rows, columns))


def _how_to_read(found: Findings) -> str:
    return (
        "before, since then: mean losses. raised: the alarm that was really raised on that change. next version: the\n"
        "first outcome of the version that was promoted next. Permuted losses hold no change, so every alarm on them\n"
        f"is false. Seed {found['seed']}."
    )


def _rounded(figure: float | None) -> str:
    """Three digits, for the rest is noise."""
    return "-" if figure is None else f"{float(f'{figure:.3g}'):,.0f}"
