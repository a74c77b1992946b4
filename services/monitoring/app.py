"""Monitoring, composed: which step takes which event, and the worker beside them."""

from __future__ import annotations

from services.monitoring.archive import archive
from services.monitoring.decided_order import MATURED, REVISED, SCORED
from services.monitoring.judge import Judge
from services.monitoring.judge_state import StoredJudgeState
from services.monitoring.label_join import (
    DUE,
    EXPIRE,
    FORGET,
    ORPHAN,
    JoinState,
    on_due,
    on_expire,
    on_forget,
    on_label,
    on_orphan,
    on_prediction,
)
from services.monitoring.rekey import key_label, key_prediction
from services.monitoring.river_missing import lacks_river
from services.monitoring.settings import MonitoringSettings
from shared.contracts.flow import (
    LabelObserved,
    OutcomeMatured,
    OutcomeRevised,
    OutcomeScored,
    PredictionMade,
    RecordAccepted,
)  # fmt: skip
from shared.runtime.service import Service
from shared.runtime.step import Step


def build(settings: MonitoringSettings) -> Service:
    """The service, without a driver."""
    judge = Judge()
    steps = (
        Step("key_predictions", None, events={PredictionMade: key_prediction}),
        Step("key_labels", None, events={RecordAccepted: key_label}),
        Step(
            "join",
            JoinState,
            events={PredictionMade: on_prediction, LabelObserved: on_label},
            timers={DUE: on_due, EXPIRE: on_expire, FORGET: on_forget, ORPHAN: on_orphan},
        ),
        Step(
            "judge",
            StoredJudgeState,
            events={
                OutcomeScored: judge.on_scored,
                OutcomeMatured: judge.on_matured,
                OutcomeRevised: judge.on_revised,
            },
            timers={SCORED: judge.take_scored, MATURED: judge.take_matured, REVISED: judge.take_revised},
            # One state and one order for the model as a whole.
            key=lambda message: "model",
            lacks=lacks_river,
        ),
    )
    return Service(
        name="monitoring",
        steps={step.name: step for step in steps},
        workers=(lambda process: archive(process, settings.outcomes_per_segment),),
    )
