"""The estimate of the champion's quality, kept while it answers: which records and labels go into it, who shows it.

What the champion said counts, also of records that a candidate on its steps answered: the figures are one version's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.monitoring import estimated_quality
from services.monitoring.estimated_quality import EstimateState
from services.monitoring.judge_state import JudgeState
from services.monitoring.outcome_losses import Judged
from services.monitoring.version_facts import VersionFacts
from shared.contracts.calibration import Calibration
from shared.contracts.control import QualityMeasured
from shared.contracts.flow import OutcomeScored
from shared.contracts.losses import Invalid, report_metric
from shared.contracts.platform import ModelState

Row = Mapping[str, Any]


def scored_row(event: OutcomeScored) -> Row:
    """What is kept of a scored record until its turn comes."""
    made = event.prediction
    said = None if made.champion is None else made.outputs.get(made.champion)
    return {
        "inputs": made.inputs,
        "record_id": made.record_id or "",
        "champion": made.champion,
        "output": None if said is None else list(said.output),
    }


def inputs_of(row: Row) -> Mapping[str, Any]:
    """The inputs of a scored record. Rows of earlier releases are nothing else: an input's value is no mapping."""
    inputs = row.get("inputs")
    return inputs if isinstance(inputs, Mapping) else row


def take_scored(state: JudgeState, decided: ModelState, row: Row, time_ms: int, facts: VersionFacts) -> JudgeState:
    """One more scored record, in the order of event time."""
    watch, table = _watch(state, decided, facts)
    inputs = inputs_of(row)
    output: Sequence[float] | None = None if inputs is row else row["output"]
    if watch is not None and table is not None and output is not None and row["champion"] == watch.version:
        watch = estimated_quality.scored(watch, table, (time_ms, row["record_id"]), inputs, output)
    return state if watch is state.estimate else state._replace(estimate=watch)


def take_matured(state: JudgeState, decided: ModelState, outcome: Judged, facts: VersionFacts) -> JudgeState:
    """One more decided outcome; with a label of a known class it is part of the truth."""
    watch, table = _watch(state, decided, facts)
    row = outcome.row
    if watch is not None and table is not None and outcome.labelled and row["champion"] == watch.version:
        output, spec = row["outputs"].get(str(watch.version)), outcome.specs.get(watch.version)
        loss = outcome.losses.get(watch.version)
        right = None if spec is None else report_metric(spec, "accuracy", output, row["label"])
        if loss is not None and right is not None and not isinstance(right, Invalid):
            key = (row["scored_ms"], outcome.record_id)
            watch = estimated_quality.labelled(watch, table, key, row["inputs"], output, right == 1.0, loss)
    return state if watch is state.estimate else state._replace(estimate=watch)


def with_estimate(
    report: QualityMeasured, state: JudgeState, decided: ModelState, facts: VersionFacts
) -> QualityMeasured:
    """The report with the estimate, and the error of an earlier one, as far as there is one."""
    watch, table = _watch(state, decided, facts)
    if watch is None or table is None:
        return report
    shown: dict[str, Any] = {}
    if (found := estimated_quality.estimate(watch, table)) is not None:
        shown.update(estimated=found.metrics(), estimated_rows=found.rows)
    if watch.error is not None:
        shown.update(estimate_error=watch.error.metrics(), estimate_error_rows=watch.error.rows)
    return report.model_copy(update=shown)


def _watch(
    state: JudgeState, decided: ModelState, facts: VersionFacts
) -> tuple[EstimateState | None, Calibration | None]:
    """That of the version that is champion; one that comes back begins anew."""
    champion, since = decided.champion, decided.promoted_at or 0
    table = None if champion is None else facts.calibration(decided, champion)
    if champion is None or table is None:
        return None, None
    watch = state.estimate
    if watch is None or (watch.version, watch.since) != (champion, since):
        watch = EstimateState(champion, since)
    return watch, table
