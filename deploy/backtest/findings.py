"""All that a backtest of policies found, as JSON: each configuration beside the others, on the same records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from deploy.backtest.configuration import Kind, periodic, proposed, static
from deploy.backtest.playing import Played, Playing
from deploy.backtest.request import Request
from deploy.backtest.retrainings import Outcome, Retraining
from deploy.backtest.stream import stream_of
from services.monitoring.backtest.answer import Say
from services.monitoring.backtest.decided_as_of import DecidedAsOf
from services.monitoring.backtest.recorded_rows import recorded_rows
from services.monitoring.backtest.request import NothingToReplay
from shared.contracts.autocorrelation import mean_interval
from shared.contracts.definitions import Approval, Model, Policy, Rollout
from shared.contracts.envelope import rfc3339

FEWEST_ROWS = 50  # of `retrain.rows`
_REJECTED = (Outcome.REJECTED, Outcome.EXPIRED)
_PROMOTED = (Outcome.PROMOTED, Outcome.ROLLED_BACK)


def findings(request: Request, say: Say) -> dict[str, Any]:
    """Raises NothingToReplay, ArtifactMissing and ArtifactDamaged, and pydantic's ValidationError."""
    definitions = DecidedAsOf(request.model, request.entries).newest().definitions
    model = definitions.models[request.model]
    configurations = proposed(model, request)
    rows, warnings = recorded_rows(request, inputs=True)
    stream = stream_of(model, definitions, rows, request)
    playing = Playing(definitions, stream, say)
    found = [playing.played(configuration) for configuration in configurations]
    if not request.alone:
        found.append(playing.played(static(model)))
        every = request.every or _as_often(found[0], len(stream))
        if every is not None:
            found.append(playing.played(periodic(model, every)))
        elif not any(one.model.retrain.policy is Policy.EVERY for one in configurations):
            warnings.append(
                "the first configuration never retrained, so no timer that retrains as often stands beside it: "
                "name one with --every"
            )
    if _asks_a_person(model, request):
        warnings.append("what waits for a person's approval is taken as approved at once")
    compared = _compared(model, found)
    return {
        "model": request.model,
        "log": request.log_id,
        "metric": model.metric.value,
        "outcomes": len(stream),
        "labelled": sum(record.label is not None for record in stream),
        "compared": len(compared),
        "warnings": warnings,
        "configurations": [
            {
                **_configuration(one, found, compared),
                "runs": [_run(retraining, request.first) for retraining in one.retrainings],
            }
            for one in found
        ],
    }


def _as_often(first: Played, outcomes: int) -> int | None:
    """After how many rows a timer retrains about as often; None: never."""
    count = len(first.retrainings)
    return max(FEWEST_ROWS, (outcomes - first.first) // (count + 1) + 1) if count else None


def _asks_a_person(model: Model, request: Request) -> bool:
    says = [Rollout.written({**model.rollout.model_dump(), **(one.says or {})}) for one in request.rollouts]
    return any(rollout.approval is Approval.MANUAL for rollout in says)


def _compared(model: Model, found: Sequence[Played]) -> list[int]:
    """The records that every configuration answered, in their order."""
    compared = sorted(set.intersection(*(set(one.figures) for one in found)))
    if len(compared) < 2:
        raise NothingToReplay(
            f"no version of {model.name} answers before the records end: a first one is fitted on "
            f"{model.training.minimum_rows:,} outcomes with a label, and what it is to be judged on comes behind them. "
            "Ask for more with --from and --to, or wait for more"
        )
    return compared


def _configuration(one: Played, found: Sequence[Played], compared: Sequence[int]) -> dict[str, Any]:
    beside = next((other for other in found if other.configuration.kind is Kind.STATIC), None)
    model, counts = one.configuration.model, Counter(retraining.outcome for retraining in one.retrainings)
    names = [name for name in one.figures[compared[0]] if name != "loss"]
    refused, rejected, promoted = (
        sum(counts[outcome] for outcome in outcomes) for outcomes in ((Outcome.REFUSED,), _REJECTED, _PROMOTED)
    )
    return {
        "name": one.configuration.name,
        "kind": one.configuration.kind.value,
        "retrain": model.retrain.model_dump(mode="json"),
        "rollout": None if one.configuration.at_once else model.rollout.model_dump(mode="json"),
        "quality": {name: fmean(one.figures[n][name] for n in compared) for name in names},
        "loss": fmean(one.figures[n]["loss"] for n in compared),
        "less_static": None if beside in (None, one) else _difference(one, beside, compared),
        "retrainings": len(one.retrainings),
        "refused": refused,
        "rejected": rejected,
        "promoted": promoted,
        "others": len(one.retrainings) - refused - rejected - promoted,
        "paying_alarms": one.paying,
        "cpu_s": one.cpu_s,
    }


def _difference(one: Played, other: Played, compared: Sequence[int]) -> dict[str, float]:
    mean, low, high = mean_interval([one.figures[n]["loss"] - other.figures[n]["loss"] for n in compared])
    return {"mean": mean, "low": low, "high": high}


def _run(retraining: Retraining, first: int) -> dict[str, Any]:
    """Positions as they were recorded: the loop counts from the first outcome that it is given."""
    gate, fitted = retraining.gate, retraining.fitted
    return {
        **{name: value for name, value in asdict(retraining).items() if name != "time_ms"},
        "position": first + retraining.position,
        "time": rfc3339(retraining.time_ms),
        "fitted": None if fitted is None else [first + place for place in fitted],
        "gate": None if gate is None else gate.model_dump(mode="json"),
    }
