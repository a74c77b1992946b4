"""What each monitor of the champion compares with, or why it monitors nothing: for a person."""

from __future__ import annotations

from collections.abc import Mapping

from services.monitoring import loss_watch, reference_loss
from services.monitoring.feature_reference import FeatureReference
from services.monitoring.judge_state import JudgeState
from services.monitoring.loss_watch import WatchState
from services.monitoring.reference_loss import LEAST_INDEPENDENT, ReferenceSource
from services.monitoring.version_facts import VersionFacts
from shared.contracts import autocorrelation
from shared.contracts.definitions import Model
from shared.contracts.platform import ModelState

OFF = "off, by the definition"


def monitored(state: JudgeState, model: Model, decided: ModelState, facts: VersionFacts) -> dict[str, str]:
    """By monitor: loss, residual, inputs. Empty before the first version."""
    champion = state.champion
    if champion is None:
        return {}
    return {
        "loss": _of_watch(champion.watch, "losses"),
        "residual": _residual(champion.residual, model, decided, champion.version, facts),
        "inputs": _inputs(state, model, decided, champion.version, facts),
    }


def _of_watch(watch: WatchState, what: str) -> str:
    source, needed = loss_watch.watching(watch), watch.reference.needed
    if source is None and reference_loss.is_complete(watch.reference):
        return f"nothing: {what} hang together too much for {needed} outcomes to bound them"
    if source is None:
        seen = autocorrelation.count(watch.reference.levels)
        return f"nothing yet: {seen} of the {needed} outcomes that make its reference"
    block = watch.monitor.block if watch.monitor else 1
    by_block = f", in blocks of {block}" if block > 1 else ""
    held_back = source is ReferenceSource.HELD_BACK
    return f"against {'rows held back in training' if held_back else f'its first {needed} outcomes'}{by_block}"


def _residual(watch: WatchState | None, model: Model, decided: ModelState, version: int, facts: VersionFacts) -> str:
    if watch is not None:
        return _of_watch(watch, "residuals")
    if not model.monitor.residual:
        return OFF
    if facts.expected_loss(decided, version) is None:
        return "nothing: the run of this version found no records that are harder than others"
    return "nothing: it begins with the next version"


def _inputs(state: JudgeState, model: Model, decided: ModelState, version: int, facts: VersionFacts) -> str:
    if not model.monitor.features:
        return OFF
    reference = facts.reference(decided, version)
    if reference is None:
        return "nothing: the run of this version gave no reference that can be read"
    statistics = facts.statistics(decided, version, model.monitor.expected_run_length)
    if statistics is None:
        return _too_small(reference)
    left_out = dict(statistics.unmonitored)
    monitor = state.shift.monitor if state.shift and state.shift.version == version else None
    left_out |= dict.fromkeys(monitor.silent if monitor else (), "told already")
    count = len({statistic.feature for statistic in statistics.statistics} - left_out.keys())
    return f"{count} against {reference.rows} rows{_but(left_out)}"


def _too_small(reference: FeatureReference) -> str:
    if reference.rows is None:
        return "nothing: the run of this version does not say how many rows its reference is made of"
    return f"nothing: a reference of {reference.rows} rows is too small, it takes {LEAST_INDEPENDENT}"


def _but(left_out: Mapping[str, str]) -> str:
    return "".join(f"; not {name}: {why}" for name, why in left_out.items())
