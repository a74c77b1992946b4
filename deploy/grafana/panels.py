"""What the dashboard shows: each panel with its queries, and the event of the loop that moves it."""

from __future__ import annotations

from dataclasses import dataclass

MODEL = '{model=~"$model"}'


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL and how a series is called in the legend."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """`moved_by`: the kind of event after which a query of the panel gives another value."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    moved_by: str


PANELS = (
    Panel(
        "Quality",
        "Prequential figures of the answers that went out, over the newest outcomes; the accuracy that is estimated of "
        "the newest records, before their labels", "none",
        (
            Query('headrace_console_quality_ratio{scope="window",model=~"$model"}', "{{model}} {{metric}}"),
            Query('headrace_console_estimated_ratio{metric="accuracy",model=~"$model"}', "{{model}} estimated"),
        ),
        "QualityMeasured",
    ),
    Panel(
        "Loss", "Mean monitored loss of the newest outcomes, in [0, 1]", "none",
        (Query(f"headrace_console_loss_ratio{MODEL}", "{{model}}"),),
        "QualityMeasured",
    ),
    Panel(
        "Drift", "Evidence against the reference, as a power of ten, and alarms", "none",
        (
            Query(f"headrace_console_drift_evidence_log10{MODEL}", "{{model}} evidence"),
            Query(f"headrace_console_drift_alarms_total{MODEL}", "{{model}} alarms"),
            Query(f"headrace_console_input_alarms_total{MODEL}", "{{model}} inputs moved"),
        ),
        "DriftDetected",
    ),
    Panel(
        "Versions", "The version that answers, and the one that is tried", "none",
        (
            Query(f"headrace_console_champion_version{MODEL}", "{{model}} champion"),
            Query(f"headrace_console_candidate_version{MODEL}", "{{model}} candidate"),
        ),
        "VersionPromoted",
    ),
    Panel(
        "Rollout share", "Share of live traffic that the candidate answers", "percentunit",
        (Query(f"headrace_console_rollout_share_ratio{MODEL}", "{{model}}"),),
        "RolloutAdvanced",
    ),
    Panel(
        "Runs", "Progress of the run in work, and runs so far", "none",
        (
            Query(f"headrace_console_run_progress_ratio{MODEL}", "{{model}} progress"),
            Query(f"headrace_console_runs_total{MODEL}", "{{model}} runs"),
        ),
        "RunRequested",
    ),
    Panel(
        "Records", "Events a second that each step has read", "eps",
        (Query('sum by (job, step) (rate({__name__=~"headrace_.*_read_events_total"}[1m]))', "{{step}}"),),
        "RecordAccepted",
    ),
    Panel(
        "Request latency", "Requests over HTTP: median and 99th percentile", "s",
        (
            Query(
                "histogram_quantile(0.5, sum by (le, model) (rate(headrace_serving_request_seconds_bucket[1m])))",
                "{{model}} p50",
            ),
            Query(
                "histogram_quantile(0.99, sum by (le, model) (rate(headrace_serving_request_seconds_bucket[1m])))",
                "{{model}} p99",
            ),
        ),
        "PredictionMade",
    ),
    Panel(
        "Requests", "Requests over HTTP a second, by version", "reqps",
        (Query("sum by (model, version) (rate(headrace_serving_request_seconds_count[1m]))", "{{model}} {{version}}"),),
        "PredictionMade",
    ),
    Panel(
        "Lag", "Entries of its input that each step has not applied yet", "none",
        (Query('sum by (job, step) ({__name__=~"headrace_.*_lag_events"})', "{{step}}"),),
        "RecordAccepted",
    ),
    Panel(
        "Derived events", "Events a second that each step has derived", "eps",
        (Query('sum by (job, step) (rate({__name__=~"headrace_.*_derived_events_total"}[1m]))', "{{step}}"),),
        "PredictionMade",
    ),
    Panel(
        "Control log", "Entries of control.v1", "none",
        (Query("headrace_console_control_position_events", "entries"),),
        "Tick",
    ),
)  # fmt: skip
