"""All that a backtest found, as JSON: what was replayed, and for each configuration its alarms and estimates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from services.monitoring.backtest.answer import Say
from services.monitoring.backtest.estimates import RISES, Estimates, long_enough
from services.monitoring.backtest.recorded import Recorded, recorded
from services.monitoring.backtest.recorded_rows import recorded_rows
from services.monitoring.backtest.replayed import Alarm, missed, replayed
from services.monitoring.backtest.request import Request, configured, named
from shared.contracts.definitions import Monitor
from shared.contracts.envelope import rfc3339


def findings(request: Request, say: Say) -> dict[str, Any]:
    """Raises NothingToReplay, RiverMissing, ArtifactMissing and ArtifactDamaged, and pydantic's ValidationError."""
    rows, warnings = recorded_rows(request)
    found = recorded(request.model, request.entries, rows, request.first, request.last)
    monitors = [configured(found.model.monitor, otherwise) for otherwise in request.configurations]
    say(f"{len(found.outcomes):,} decided outcomes of {request.model}, {_count(found):,} with a loss of the champion")
    return {
        "model": request.model,
        "log": request.log_id,
        "metric": found.model.metric.value,
        "outcomes": len(found.outcomes),
        "losses": _count(found),
        "warnings": warnings,
        "stretches": [_stretch(found, n) for n in range(len(found.stretches))],
        "raised": [
            {"position": alarm.position, "version": alarm.version, "since": alarm.since,
             "monitor": alarm.monitor, "detector": alarm.detector or "e_detector"}
            for alarm in found.alarms
        ],
        "seed": request.seed,
        "configurations": [_configuration(request, found, monitor, say) for monitor in monitors],
    }  # fmt: skip


def _count(found: Recorded) -> int:
    return sum(len(stretch.losses) for stretch in found.stretches)


def _stretch(found: Recorded, n: int) -> dict[str, Any]:
    stretch = found.stretches[n]
    return {
        "version": stretch.version,
        "first": stretch.ordinals[0],
        "last": stretch.ordinals[-1],
        "losses": len(stretch.losses),
        "mean": stretch.mean,
        "autocorrelation_time": stretch.autocorrelation_time,
    }


def _configuration(request: Request, found: Recorded, monitor: Monitor, say: Say) -> dict[str, Any]:
    say(f"{named(monitor)}: replaying")
    alarms, watched = replayed(found, monitor)
    return {
        "name": named(monitor),
        "monitor": monitor.model_dump(mode="json"),
        "in_force": monitor == found.model.monitor,
        "watched": watched,
        "alarms": [_alarm(alarm) for alarm in alarms],
        "missed": missed(found, alarms),
        **_estimates(request, found, monitor, say),
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    told = asdict(alarm)
    return {**told, "time": rfc3339(told.pop("time_ms"))}


def _estimates(request: Request, found: Recorded, monitor: Monitor, say: Say) -> dict[str, Any]:
    said = _nothing_to_estimate(found, monitor)
    if said is not None:
        return {"false_alarms": None, "delays": [], "no_estimate": said}
    stretches = long_enough(monitor, found.stretches)
    say(
        f"{named(monitor)}: false alarms and delays on permutations of {sum(len(s.losses) for s in stretches):,} losses"
    )
    estimates = Estimates(monitor, stretches, request.seed, request.seconds)
    return {
        "false_alarms": asdict(estimates.false_alarms(request.outcomes)),
        "delays": [asdict(estimates.delay(rise, request.runs)) for rise in RISES],
        "no_estimate": None,
    }


def _nothing_to_estimate(found: Recorded, monitor: Monitor) -> str | None:
    """Why permutations say nothing, and what to do."""
    stretches = long_enough(monitor, found.stretches)
    if not stretches:
        longest = max(len(stretch.losses) for stretch in found.stretches)
        return (
            f"no version has more losses than the reference takes: the longest stretch between two promotions has "
            f"{longest:,}, and reference_outcomes is {monitor.reference_outcomes:,}. Ask again when there are more"
            + (f", or with --reference-outcomes {longest // 2}" if longest >= 100 else "")
        )
    if all(min(stretch.losses) == max(stretch.losses) for stretch in stretches):
        return (
            f"all losses of a version are equal ({stretches[0].losses[0]:g}): permuted they say nothing, and no rise "
            f"can be made of them. Watch a loss that tells answers apart: monitor.metric is {found.model.metric}"
            + (f", monitor.scale is {found.model.monitor.scale:g}" if found.model.monitor.scale else "")
        )
    return None
