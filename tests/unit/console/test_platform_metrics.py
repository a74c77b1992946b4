"""The loop as Prometheus shows it, read from a control log."""

from __future__ import annotations

from typing import Any

from services.console.platform_metrics import PlatformMetrics
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.console.control_log import ControlLog


def progress_after(*events: Event) -> float:
    """What the gauge of the run in work shows for the default model."""
    metrics = {one.name: one for one in PlatformMetrics(ControlLog(*events).history).collect()}
    (sample,) = metrics["headrace_console_run_progress_ratio"].samples
    return sample.value


def test_a_run_in_work_shows_how_far_it_is() -> None:
    assert progress_after(b.run_requested()) == 0
    assert progress_after(b.run_requested(), b.run_progressed(fraction=0.5)) == 0.5


def test_what_a_run_came_to_stays_however_short_it_was_and_before_any_there_is_nothing() -> None:
    assert progress_after() == 0
    assert progress_after(b.run_requested(), b.run_failed()) == 0
    assert progress_after(b.run_requested(), b.run_finished(), b.registered()) == 1


def test_an_estimate_and_its_later_error_are_shown_where_there_is_one() -> None:
    names = ("headrace_console_estimated_ratio", "headrace_console_estimate_error_ratio")

    def shown(**over: Any) -> list[dict[str, float]]:
        metrics = {one.name: one for one in PlatformMetrics(ControlLog(b.quality(**over)).history).collect()}
        return [{sample.labels["metric"]: sample.value for sample in metrics[name].samples} for name in names]

    estimated, error = {"accuracy": 0.81, "loss": 0.2}, {"accuracy": -0.02, "loss": 0.01}
    assert shown(estimated=estimated, estimated_rows=500, estimate_error=error, estimate_error_rows=480) == [
        estimated,
        error,
    ]
    assert shown() == [{}, {}]


def test_alarms_are_counted_those_that_only_advise_apart() -> None:
    log = ControlLog(b.drift(), b.drift(drift_id="d2", monitor="residual"), b.inputs_moved())
    metrics = {one.name: one for one in PlatformMetrics(log.history).collect()}
    counts = {name: metrics[f"headrace_console_{name}"].samples[0].value for name in ("drift_alarms", "input_alarms")}
    assert counts == {"drift_alarms": 2, "input_alarms": 1}
