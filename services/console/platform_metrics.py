"""The loop as Prometheus metrics, counted from the accepted events of `control.v1`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shared.contracts import control as c
from shared.contracts.platform import ModelState, Platform
from shared.runtime.history import ControlHistory

_COUNTED: dict[type, tuple[str, str]] = {
    c.DriftDetected: ("drift_alarms", "alarms of a model's loss and residual monitors"),
    c.InputsMoved: ("input_alarms", "alarms of a model's feature monitor: inputs that moved"),
    c.RunRequested: ("runs", "runs that were asked for, the first included"),
    c.RunFailed: ("failed_runs", "runs that gave no version"),
    c.VersionRegistered: ("versions", "versions that were registered"),
    c.VersionPromoted: ("promotions", "versions that were put live, the first included"),
    c.ModelRolledBack: ("rollbacks", "returns to a former version"),
}


class PlatformMetrics:
    """A collector over the control log. `collect` may run on any thread: entries are only ever appended."""

    def __init__(self, history: ControlHistory) -> None:
        self._history = history
        self._position = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._quality: dict[str, c.QualityMeasured] = {}

    def collect(self) -> Iterable[Metric]:
        self._read()
        platform = self._history.newest
        yield GaugeMetricFamily(
            "headrace_console_control_position_events", "entries of control.v1 that were read", value=platform.position
        )
        for name, text in _COUNTED.values():
            counter = CounterMetricFamily(f"headrace_console_{name}", text, labels=["model"])
            for model in platform.models:
                counter.add_metric([model], self._counts[name, model])
            yield counter
        yield from self._quality_metrics()
        yield from _state_metrics(platform)

    def _read(self) -> None:
        entries = self._history.entries
        for entry in entries[self._position :]:
            self._position += 1
            event = entry.message.event if entry.message else None
            if event is None:
                continue
            model = getattr(event, "model", "")
            if type(event) in _COUNTED:
                self._counts[_COUNTED[type(event)][0], model] += 1
            if isinstance(event, c.QualityMeasured):
                self._quality[model] = event

    def _quality_metrics(self) -> Iterable[Metric]:
        quality = GaugeMetricFamily(
            "headrace_console_quality_ratio",
            "prequential figure of the answers that went out, over the newest outcomes or in all",
            labels=["model", "metric", "scope"],
        )
        loss = _gauge("loss_ratio", "mean monitored loss of the newest outcomes, in [0, 1]")
        evidence = _gauge("drift_evidence_log10", "evidence of the loss monitor: log10 of its e-detector")
        estimated = _gauge(
            "estimated_ratio", "estimate of the newest records before their labels: accuracy, loss", "metric"
        )
        error = _gauge("estimate_error_ratio", "earlier estimate less the truth that is known since", "metric")
        decided = _gauge("decided_events", "outcomes that have been decided")
        for model, measured in self._quality.items():
            for scope, figures in (("window", measured.window), ("total", measured.total)):
                for metric, value in figures.items():
                    quality.add_metric([model, metric, scope], value)
            for gauge, figures in ((estimated, measured.estimated), (error, measured.estimate_error)):
                for metric, value in figures.items():
                    gauge.add_metric([model, metric], value)
            decided.add_metric([model], measured.position)
            if measured.loss is not None:
                loss.add_metric([model], measured.loss)
            if measured.evidence is not None:
                evidence.add_metric([model], measured.evidence)
        return (quality, loss, evidence, estimated, error, decided)


def _state_metrics(platform: Platform) -> Sequence[Metric]:
    champion = _gauge("champion_version", "the version that answers; 0 before the first")
    candidate = _gauge("candidate_version", "the version that is tried; 0 if none is")
    share = _gauge("rollout_share_ratio", "share of live traffic that the candidate answers")
    step = _gauge("rollout_step", "step of the rollout; 0 in shadow or without one")
    run = _gauge("run_progress_ratio", "progress of the run in work; without one 1, and 0 before the first version")
    for model, state in platform.models.items():
        rollout = state.rollout
        champion.add_metric([model], state.champion or 0)
        candidate.add_metric([model], rollout.candidate if rollout else 0)
        share.add_metric([model], rollout.share if rollout else 0.0)
        step.add_metric([model], rollout.step if rollout else 0)
        run.add_metric([model], _fraction(state))
    return (champion, candidate, share, step, run)


def _fraction(state: ModelState) -> float:
    """A run may begin and end between two looks of Prometheus: what it came to stays."""
    return state.run.fraction if state.run else float(bool(state.versions))


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"headrace_console_{name}", text, labels=["model", *labels])
