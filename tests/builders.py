"""Valid definitions and events with defaults, for every test: `prediction(value=0.9)`, `source(partitions=2)`.

Each takes any field of what it builds by name. The story behind the defaults: source `transactions`, labels
`chargebacks`, view `card_activity`, and the binary model `card_fraud`.
"""

from __future__ import annotations

from typing import Any

from shared.contracts import control as c
from shared.contracts import flow as f
from shared.contracts.definitions import Clock, FeatureView, Model, Replay, Source
from shared.contracts.envelope import Event, Message
from shared.contracts.identity import derived_id
from shared.contracts.topology import NO_DEFINITIONS, Definitions

MODEL = "card_fraud"
SOURCE = "transactions"
LABELS = "chargebacks"
VIEW = "card_activity"
T0_MS = 1_790_000_000_000
SHA256 = "0" * 64


# --- definitions


def source(**over: Any) -> Source:
    defaults = {
        "name": SOURCE,
        "key": "card_id",
        "id": "transaction_id",
        "time": {"field": "at", "clock": "events"},
        "fields": {
            "card_id": "string",
            "amount": {"type": "number", "minimum": 0},
            "category": {"type": "string", "enum": ["food", "travel", "web"]},
        },
    }
    return Source.written({**defaults, **over})


def label_source(**over: Any) -> Source:
    defaults = {
        "name": LABELS,
        "key": "transaction_id",
        "id": "chargeback_id",
        "time": {"field": "at", "clock": "events"},
        "fields": {"transaction_id": "string", "is_fraud": "boolean"},
    }
    return Source.written({**defaults, **over})


def view(**over: Any) -> FeatureView:
    features = {
        "spend_mean_1h": {"aggregate": "mean", "of": "amount", "over": "1h"},
        "count_24h": {"aggregate": "count", "over": "24h"},
    }
    return FeatureView.written({"name": VIEW, "source": SOURCE, "entity": "card_id", "features": features, **over})


def model(**over: Any) -> Model:
    defaults = {
        "name": MODEL,
        "scores": SOURCE,
        "task": "binary",
        "inputs": {"fields": ["amount", "category"], "derived": {"hour": "hour(at)"}, "views": [VIEW]},
        "label": {
            "source": LABELS,
            "field": "is_fraud",
            "joins": "transaction_id",
            "matures_after": "10m",
            "expires_after": "1d",
        },
    }
    return Model.written({**defaults, **over})


def replay(**over: Any) -> Replay:
    defaults = {
        "name": "history",
        "source": SOURCE,
        "fields": {"transaction_id": "row"},
        "time": "parse_time('2026-01-01') + row * minutes(1)",
        "labels": {
            "source": LABELS,
            "fields": {"transaction_id": "row", "chargeback_id": "row", "is_fraud": "fraud == 1"},
            "hold_back": {"duration": "5m"},
        },
    }
    return Replay.written({**defaults, **over})


def declared() -> tuple[Source | FeatureView | Model, ...]:
    """The default definitions, in an order in which each comes after what it names."""
    return source(), label_source(), view(), model()


def definitions(*over: Source | FeatureView | Model) -> Definitions:
    """The default definitions in force, with `over` applied to them."""
    return NO_DEFINITIONS.with_applied((*declared(), *over))


# --- envelopes


def message(event: Event, **over: Any) -> Message:
    """`event` in its envelope; the id follows from what else is given."""
    made: dict[str, Any] = {"source": "test", "time_ms": T0_MS, "key": "", "event": event, **over}
    cause = f"{made['source']}:{made.get('sequence')}:{made['time_ms']}:{event.model_dump_json()}"
    made.setdefault("id", derived_id(cause, event.ce_type, made["key"]))
    return Message(**made)


# --- data plane


def intake(**over: Any) -> f.IntakeRecord:
    defaults = {
        "source": SOURCE,
        "record_id": "t1",
        "topic": SOURCE,
        "partition": 0,
        "offset": 0,
        "broker_time_ms": T0_MS,
        "newest_ms": None,
        "data": '{"transaction_id": "t1", "card_id": "c1", "at": 1790000000000, "amount": 12.5, "category": "food"}',
    }
    return f.IntakeRecord.written({**defaults, **over})


def accepted(**over: Any) -> f.RecordAccepted:
    value = {"transaction_id": "t1", "card_id": "c1", "at": T0_MS, "amount": 12.5, "category": "food"}
    return f.RecordAccepted.written({"source": SOURCE, "record_id": "t1", "late": False, "value": value, **over})


def rekeyed(**over: Any) -> f.RecordRekeyed:
    defaults = {**accepted().model_dump(exclude={"known_ms"}), "key": "c1", "entity": "food"}
    return f.RecordRekeyed.written({**defaults, "models": [MODEL], "features": {f"{VIEW}.count_24h": 3.0}, **over})


def rejected(**over: Any) -> f.RecordRejected:
    defaults = {
        "source": SOURCE,
        "topic": SOURCE,
        "partition": 0,
        "offset": 0,
        "reason": f.RejectReason.UNDECODABLE,
        "detail": "no JSON",
        "data_base64": "ew==",
        "length": 1,
        "sha256": SHA256,
    }
    return f.RecordRejected.written({**defaults, **over})


def inputs() -> f.Inputs:
    return {"amount": 12.5, "category": "food", "hour": 9.0, f"{VIEW}.spend_mean_1h": 10.0, f"{VIEW}.count_24h": 3.0}


def computed(**over: Any) -> f.InputsComputed:
    defaults = {"model": MODEL, "record_id": "t1", "entity": "c1", "late": False, "inputs": inputs()}
    return f.InputsComputed.written({**defaults, **over})


def windows(**over: Any) -> f.WindowsChanged:
    return f.WindowsChanged.written({"view": VIEW, "entity": "c1", "state": {}, **over})


def prediction(value: float | None = 0.9, **over: Any) -> f.PredictionMade:
    """Version 1 says `value`; with None nothing answered, as before the first version."""
    said = {} if value is None else {1: {"artifact_sha256": SHA256, "output": [value]}}
    defaults = {
        "model": MODEL,
        "record_id": "t1",
        "entity": "c1",
        "origin": "stream",
        "inputs": inputs(),
        "control": 5,
        "answered_by": None if value is None else 1,
        "champion": None if value is None else 1,
        "outputs": said,
    }
    return f.PredictionMade.written({**defaults, **over})


def label(value: float | str | bool | None = 1.0, **over: Any) -> f.LabelObserved:
    defaults = {"model": MODEL, "join_id": "t1", "label_id": "l1", "value": value, "late": False}
    return f.LabelObserved.written({**defaults, **over})


def scored(**over: Any) -> f.OutcomeScored:
    return f.OutcomeScored.written({"prediction": prediction(), "scored_ms": T0_MS, **over})


def matured(value: float = 0.9, label: float | str | None = 1.0, **over: Any) -> f.OutcomeMatured:
    """The outcome of a prediction of `value` with `label`; None: it is unlabelled."""
    status = f.LabelStatus.UNLABELLED if label is None else f.LabelStatus.LABELLED
    defaults = {
        "prediction": prediction(value),
        "scored_ms": T0_MS,
        "status": status,
        "label": label,
        "label_id": None if label is None else "l1",
    }
    return f.OutcomeMatured.written({**defaults, **over})


def streamed(**over: Any) -> f.RecordStreamed:
    return f.RecordStreamed.written({"model": MODEL, "record_id": "t1", **over})


def answers(**over: Any) -> f.OutcomeAnswers:
    """What version 1 said of an outcome that fell due 10 minutes after T0_MS."""
    defaults = {
        "due_ms": T0_MS + 600_000,
        "answered_by": 1,
        "champion": 1,
        "candidate": None,
        "rollout_id": None,
        "outputs": {1: [0.9]},
    }
    return f.OutcomeAnswers.written({**defaults, **over})


def revised(**over: Any) -> f.OutcomeRevised:
    defaults = {"model": MODEL, "record_id": "t1", "label": 1.0, "label_id": "l2", "before": None}
    return f.OutcomeRevised.written({**defaults, **over})


def unused(**over: Any) -> f.LabelUnused:
    defaults = {"model": MODEL, "join_id": "t1", "label_id": "l1", "fate": f.LabelFate.WITHOUT_RECORD}
    return f.LabelUnused.written({**defaults, **over})


# --- control plane


def founded(log_id: str = "11111111-1111-8111-8111-111111111111") -> c.PlatformFounded:
    return c.PlatformFounded(log_id=log_id)


def tick(*sources: str, **over: Any) -> c.Tick:
    """A tick of these sources' clock; without any, of the wall clock."""
    clock = Clock.EVENTS if sources else Clock.WALL
    return c.Tick.written({"clock": clock, "sources": sources, **over})


def applied(*definitions: Source | FeatureView | Model, **over: Any) -> c.DefinitionsApplied:
    defaults = {"request_id": "q1", "definitions": definitions or declared(), "by": "ann"}
    return c.DefinitionsApplied.written({**defaults, **over})


def reference(**over: Any) -> c.Reference:
    return c.Reference.written({"uri": f"models/{MODEL}/1", "sha256": SHA256, "bytes": 1_000, **over})


def gate(**over: Any) -> c.GateFigures:
    defaults = {
        "against": None,
        "rows": 500,
        "candidate_loss": 0.1,
        "reference_loss": 0.2,
        "mean_difference": -0.1,
        "standard_error": 0.01,
    }
    return c.GateFigures.written({**defaults, **over})


def run_requested(**over: Any) -> c.RunRequested:
    defaults = {
        "run_id": "r1",
        "model": MODEL,
        "reason": c.RunReason.BOOTSTRAP,
        "position": 2_000,
        "seed": 7,
        "deadline_ms": T0_MS + 3_600_000,
    }
    return c.RunRequested.written({**defaults, **over})


def run_progressed(**over: Any) -> c.RunProgressed:
    return c.RunProgressed.written({"run_id": "r1", "model": MODEL, "fraction": 0.5, "doing": "search", **over})


def run_finished(**over: Any) -> c.RunFinished:
    defaults = {
        "run_id": "r1",
        "model": MODEL,
        "artifact": reference(),
        "family": "linear",
        "parameters": {"C": 1.0},
        "metrics": {"log_loss": 0.1},
        "gate": gate(),
        "fitted_from": 0,
        "fitted_to": 1_500,
        "window": "all",
        "dataset_sha256": SHA256,
        "seed": 7,
        "duration_s": 1.5,
        "parity_rows": 500,
        "parity_largest": 1e-7,
    }
    return c.RunFinished.written({**defaults, **over})


def run_failed(**over: Any) -> c.RunFailed:
    return c.RunFailed.written({"run_id": "r1", "model": MODEL, "reason": "one class only", **over})


def registered(version: int = 1, **over: Any) -> c.VersionRegistered:
    defaults = {
        "model": MODEL,
        "version": version,
        "run_id": f"r{version}",
        "artifact": reference(uri=f"models/{MODEL}/{version}"),
        "gate_passed": True,
        "gate": gate(),
        "reason": "better than a constant predictor",
    }
    return c.VersionRegistered.written({**defaults, **over})


def approved(version: int = 1, **over: Any) -> c.VersionApproved:
    return c.VersionApproved.written({"model": MODEL, "version": version, "by": "auto", **over})


def promoted(version: int = 1, former: int | None = None, **over: Any) -> c.VersionPromoted:
    defaults = {"model": MODEL, "version": version, "former": former, "by": "rollout" if former else "first"}
    return c.VersionPromoted.written({**defaults, **over})


def rollout_started(**over: Any) -> c.RolloutStarted:
    deadline_ms = T0_MS + 86_400_000
    defaults = {"rollout_id": "o2", "model": MODEL, "candidate": 2, "champion": 1, "deadline_ms": deadline_ms}
    return c.RolloutStarted.written({**defaults, **over})


def rollout_advanced(**over: Any) -> c.RolloutAdvanced:
    defaults = {"rollout_id": "o2", "model": MODEL, "candidate": 2, "phase": c.Phase.SHADOW, "step": 0, "share": 0.0}
    return c.RolloutAdvanced.written({**defaults, **over})


def rollout_ended(**over: Any) -> c.RolloutEnded:
    defaults = {"rollout_id": "o2", "model": MODEL, "candidate": 2, "phase": c.Phase.PROMOTED, "reason": "better"}
    return c.RolloutEnded.written({**defaults, **over})


def rolled_back(**over: Any) -> c.ModelRolledBack:
    defaults = {"model": MODEL, "version": 1, "former": 2, "reason": "alarm on watch", "by": "auto"}
    return c.ModelRolledBack.written({**defaults, **over})


def watch_ended(**over: Any) -> c.WatchEnded:
    return c.WatchEnded.written({"model": MODEL, "version": 2, **over})


def replica_ready(**over: Any) -> c.ReplicaReady:
    defaults = {"replica": "serving-0", "model": MODEL, "version": 1, "artifact_sha256": SHA256}
    return c.ReplicaReady.written({**defaults, **over})


def drift(**over: Any) -> c.DriftDetected:
    defaults = {
        "model": MODEL,
        "drift_id": "d1",
        "version": 1,
        "monitor": "loss",
        "position": 3_000,
        "last_record_id": "t3000",
        "since": 2_800,
        "reference": 0.1,
        "mean_since": 0.3,
        "evidence": 6.1,
    }
    return c.DriftDetected.written({**defaults, **over})


def moved_input(feature: str = "amount", **over: Any) -> c.MovedInput:
    defaults = {
        "feature": feature,
        "share": 0.98,
        "statistic": "higher",
        "null_mean": 0.52,
        "reference_mean": 0.5,
        "mean": 0.7,
        "count": 900,
        "reference": "quartiles 1 | 2 | 3",
        "recent": "quartiles 4 | 5 | 6",
    }
    return c.MovedInput.written({**defaults, **over})


def inputs_moved(**over: Any) -> c.InputsMoved:
    defaults = {
        "model": MODEL,
        "moved_id": "m1",
        "version": 1,
        "first": 1_000,
        "position": 1_900,
        "last_record_id": "t1899",
        "evidence": 1.2e6,
        "threshold": 1e6,
        "features": (moved_input(),),
        "told": ("amount",),
    }
    return c.InputsMoved.written({**defaults, **over})


def verdict(**over: Any) -> c.VerdictReached:
    defaults = {
        "verdict_id": "v1",
        "model": MODEL,
        "rollout_id": "o2",
        "step": 0,
        "kind": c.VerdictKind.BETTER,
        "position": 3_200,
        "last_record_id": "t3200",
        "last_time_ms": T0_MS,
        "champion": 1,
        "candidate": 2,
        "champion_sha256": SHA256,
        "candidate_sha256": "1" * 64,
        "outcomes": 200,
        "invalid": 0,
        "mean_difference": -0.05,
        "e_value": 150.0,
        "e_value_harm": 0.01,
    }
    return c.VerdictReached.written({**defaults, **over})


def verdict_revised(**over: Any) -> c.VerdictRevised:
    defaults = {
        "revision_id": "w1",
        "verdict_id": "v1",
        "model": MODEL,
        "rollout_id": "o2",
        "champion": 1,
        "candidate": 2,
        "before": c.VerdictKind.BETTER,
        "after": c.VerdictKind.UNDECIDED,
        "position": 3_200,
        "decided": 3_900,
        "last_record_id": "t3100",
        "label_id": "l2",
        "revisions": 12,
        "records": ["t3000", "t3100"],
        "outcomes": 200,
        "invalid": 0,
        "mean_difference": 0.01,
        "lower": -0.05,
        "upper": 0.07,
        "champion_loss": 0.2,
        "candidate_loss": 0.21,
        "e_value": 0.4,
        "e_value_harm": 1.2,
        "alpha": 0.01,
        "threshold": 100.0,
    }
    return c.VerdictRevised.written({**defaults, **over})


def quality(**over: Any) -> c.QualityMeasured:
    defaults = {
        "model": MODEL,
        "position": 2_100,
        "last_record_id": "t2100",
        "labelled": 100,
        "since_first_version": 100,
        "version": 1,
        "loss": 0.1,
        "window": {"accuracy": 0.9},
        "total": {"accuracy": 0.9},
    }
    return c.QualityMeasured.written({**defaults, **over})
