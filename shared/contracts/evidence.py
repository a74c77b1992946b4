"""Monitoring's events of `control.v1`: how well a model answers, alarms, and the judge's verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from shared.contracts.contract import Contract
from shared.contracts.envelope import Event


class RolloutFigures(Contract):
    """Where the rollout in progress stands: both versions' losses on the pairs judged so far.

    `lower`, `upper`: of the mean difference (candidate - champion), at level 1 - alpha at all times together. `e_value`
    and `e_value_harm`: running maxima; promotion, or rejection, is at `threshold`. `revised`: pairs of which the label
    was corrected since; the figures are those known when each was decided.
    """

    rollout_id: str
    outcomes: int
    invalid: int
    mean_difference: float | None
    lower: float
    upper: float
    e_value: float
    e_value_harm: float
    threshold: float
    revised: int = 0


class QualityMeasured(Event):
    """Prequential figures of the answers that went out, at a position in the decided outcomes.

    `estimated`: accuracy and `loss`, in [0, 1], of the champion on the newest `estimated_rows` scored records, whose
    labels are not all known yet; empty where too little is known of such records. `estimate_error`: an earlier estimate
    less the truth, over the newest block of records whose labels are known by now, `estimate_error_rows` of them.
    They are those known at the time, and stay so. `revised`: how many labels of answered outcomes were corrected since
    they were decided; `total_revised`: `total` with all these corrections in it, none where nothing was corrected.
    """

    model: str
    position: int
    last_record_id: str
    labelled: int
    since_first_version: int
    version: int | None
    loss: float | None  # mean monitored loss in [0, 1] of the last window
    window: dict[str, float]  # reported metrics over the newest report_every labelled outcomes
    total: dict[str, float]  # the same since the first version
    reference: float | None = None
    evidence: float | None = None  # log10 of the loss monitor's e-detector
    estimated: dict[str, float] = {}
    estimated_rows: int = 0
    estimate_error: dict[str, float] = {}
    estimate_error_rows: int = 0

    rollout: RolloutFigures | None = None
    revised: int = 0
    total_revised: dict[str, float] = {}
    monitored: dict[str, str] = {}  # by monitor (loss, residual, inputs): against what, or why nothing is monitored


class ShiftedFeature(Contract):
    feature: str
    score: float
    statistic: str
    direction: str
    reference: str
    recent: str


class WatchFigures(Contract):
    """The former champion beside the one that took over: mean of (loss of the new one - loss of the former) over the
    outcomes since the estimated change, or somewhat more where these are few."""

    former: int
    outcomes: int
    mean_difference: float


class MissedSaving(Contract):
    """What not having retrained has cost since a version answers, beside what a retraining costs.

    All in units of the bounded loss. `by`: what tells it, a correction learnt on the outcomes, or a standing alarm;
    over so many `outcomes` the version lost `mean_loss`, and its correction `corrected_loss`. `pays`: a run is due.
    """

    missed: float
    cost: float
    horizon: int
    by: Literal["correction", "alarm"]
    outcomes: int
    mean_loss: float | None
    corrected_loss: float | None
    pays: bool


class AlarmFigures(Contract):
    """What it takes to compute an alarm of the loss monitor again: `services/monitoring/loss_monitor.py` says how.

    The monitor began with nothing at the decided outcome with ordinal `first`, of which `count` were valid, taken
    `block` at a time. What it bets on lies in [0, 1]: the loss, or (residual + cap) / (1 + cap). In that unit are
    `reference_upper`, `tolerance`, the two means, and `null_mean`, which they are tested against. `change` is the
    ordinal that it dates the change to, `since_change_mean` is the mean of `count_since_change` from there on.
    """

    threshold: float
    reference_upper: float
    tolerance: float
    null_mean: float
    leading_bet: float
    first: int
    change: int
    block: int
    count: int
    count_since_change: int
    run_mean: float
    since_change_mean: float
    cap: float | None = None


class DriftDetected(Event):
    """An alarm on the model's loss: evidence, position, the estimated change, and what moved most.

    `monitor` saving: a retraining pays by now; `evidence` is what was missed, `reference` the loss of the correction.
    `saving`: what was missed by then; an alarm with one that does not pay yet leads to no run.
    `detector`: which of river's detectors alarmed; None: Headrace's own. Of theirs `reference` is the mean loss before
    the change, and `evidence` the detector's own statistic, 0 where it has none: it guarantees nothing.
    `monitor`: which one was first. `reference` and `mean_since` are losses, or, of the residual, how much more was lost
    than expected. `since` is where the change began: of a change that was told before, as it was told first; of a
    saving that a correction tells, where it began to add up.
    """

    model: str
    drift_id: str
    version: int
    monitor: Literal["loss", "residual", "saving"]
    position: int
    last_record_id: str
    since: int
    reference: float
    mean_since: float
    evidence: float
    shifts: tuple[ShiftedFeature, ...] = ()
    watch: WatchFigures | None = None
    saving: MissedSaving | None = None
    detector: str | None = None
    figures: AlarmFigures | None = None


class MovedInput(Contract):
    """An input in an alarm: its share of the evidence, and the statistic of it that says most.

    `mean`: of that statistic over `count` records of the run; its `reference_mean`, and the bound above that which it
    is tested against. `reference` and `recent`: of the input itself, for a person, as far as it is known.
    """

    feature: str
    share: float
    statistic: str
    null_mean: float
    reference_mean: float
    mean: float
    count: int
    reference: str | None = None
    recent: str | None = None


class InputsMoved(Event):
    """A model's inputs are no longer what they were when the version was fitted. It advises: nothing follows.

    Of the scored records, in the order of decision, those with ordinals [`first`, `position`) are the evidence;
    `last_record_id` is the last of them. An input that was named among `features` with a fair share of the evidence is
    `told`, and no longer monitored until another version answers. `unmonitored`: inputs that are not, and why.
    """

    model: str
    moved_id: str
    version: int
    first: int
    position: int
    last_record_id: str
    evidence: float
    threshold: float
    features: tuple[MovedInput, ...]
    told: tuple[str, ...] = ()
    unmonitored: dict[str, str] = {}


class VerdictKind(StrEnum):
    """Better and Worse are final; Undecided and Invalid never promote."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"
    INVALID = "invalid"


class VerdictReached(Event):
    """What the paired judge says of a candidate, with the figures that led to it: who judges the same outcomes again,
    in their order, finds them.

    `e_value` and `e_value_harm` are running maxima. `threshold`: what they had to reach, (1/alpha)^(k/K) for step k of
    K, 1/alpha for harm, none for Invalid. `lower`, `upper`: where the mean difference lies, at level 1 - alpha at all
    times together. `first_position`, `last_position`: ordinals of the first and the last pair judged. Left out are
    `invalid` pairs, for the champion (`champion_invalid`), the candidate or both have no loss; but in `e_value` a
    candidate that has none where the champion has one has lost 1.
    """

    verdict_id: str
    model: str
    rollout_id: str
    step: int
    kind: VerdictKind
    position: int
    last_record_id: str
    last_time_ms: int
    champion: int
    candidate: int
    champion_sha256: str
    candidate_sha256: str
    outcomes: int
    invalid: int
    mean_difference: float | None
    e_value: float
    e_value_harm: float
    alpha: float | None = None
    threshold: float | None = None
    lower: float | None = None
    upper: float | None = None
    champion_loss: float | None = None
    candidate_loss: float | None = None
    first_position: int | None = None
    last_position: int | None = None
    champion_invalid: int | None = None
    candidate_invalid: int | None = None
    both_invalid: int | None = None


class VerdictRevised(Event):
    """Labels that came after a verdict make it another one: what the same outcomes say by their labels of now.

    `before`, `after`: what the figures said until now, and say now; Undecided: neither version is shown to do better
    any more. `position`: of the verdict, whose outcomes these are; `decided`: outcomes decided by now. `revisions`:
    corrections in the figures so far, of which `records` names the newest; that of `last_record_id` by label `label_id`
    made the difference. `e_value` and `e_value_harm` are those at the position, not running maxima.
    """

    revision_id: str
    verdict_id: str
    model: str
    rollout_id: str
    champion: int
    candidate: int
    before: VerdictKind
    after: VerdictKind
    position: int
    decided: int
    last_record_id: str
    label_id: str
    revisions: int
    records: tuple[str, ...]
    outcomes: int
    invalid: int
    mean_difference: float | None
    lower: float
    upper: float
    champion_loss: float | None
    candidate_loss: float | None
    e_value: float
    e_value_harm: float
    alpha: float
    threshold: float
