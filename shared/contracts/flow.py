"""Events of the data plane: from a user's record to a matured outcome."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import JsonValue

from shared.contracts.contract import Contract
from shared.contracts.envelope import Event

InputValue = float | str | None
Inputs = dict[str, InputValue]


class IntakeRecord(Event):
    """A user's record under its own key, as it came: `data` is the JSON text of its value.

    `newest_ms` is the newest event time before it in its own partition of the user's topic (None: it is the first).
    """

    source: str
    record_id: str
    topic: str
    partition: int
    offset: int
    broker_time_ms: int
    newest_ms: int | None
    data: str


class RecordAccepted(Event):
    """A record that fits its source. A late one passes, marked.

    `known_ms`: of a late one, the newest event time that its log had shown before it, less the allowed lateness: how
    late it was when it came, whatever a reader's watermark is.
    """

    source: str
    record_id: str
    late: bool
    value: dict[str, JsonValue]
    known_ms: int | None = None


class RecordRekeyed(Event):
    """An accepted record on its way through the logs of other entities than its key.

    `key`: the record's own. `entity`: whose log this is; None where the record names none. `models`: those that wait
    for what is known from here on. `features`: what is known so far for them, by `view.feature`.
    """

    source: str
    record_id: str
    key: str
    entity: str | None
    late: bool
    value: dict[str, JsonValue]
    models: tuple[str, ...]
    features: Inputs


class RejectReason(StrEnum):
    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    IN_THE_FUTURE = "in_the_future"


class RecordRejected(Event):
    """A record that does not fit, with the reason, its position and its bytes (of an oversized one the first 64 kB)."""

    source: str
    topic: str
    partition: int
    offset: int
    reason: RejectReason
    detail: str
    data_base64: str
    length: int
    sha256: str


class InputsComputed(Event):
    """A record with a model's inputs as of its event time."""

    model: str
    record_id: str
    entity: str
    late: bool
    inputs: Inputs


class WindowsChanged(Event):
    """The newest window state of an entity: a row of the table `features.<view>`. `state` is that of shared/inputs."""

    view: str
    entity: str
    state: dict[str, Any]


class VersionOutput(Contract):
    """What one version said: probability of class 1, probabilities of the classes, or a value."""

    artifact_sha256: str
    output: tuple[float, ...]


class PredictionMade(Event):
    """One event a record, or a request, and a model: everything that made it. `outputs` by version, side by side.

    `answered_by` is None before the first version. `share` and `split` are those of `rollout_id`, if one was in force.
    """

    model: str
    record_id: str | None
    entity: str
    origin: str  # stream | http
    inputs: Inputs
    control: int
    answered_by: int | None
    outputs: dict[int, VersionOutput]
    champion: int | None = None
    rollout_id: str | None = None
    candidate: int | None = None
    step: int | None = None
    share: float = 0.0
    split: float | None = None
    request_id: str | None = None


class LabelObserved(Event):
    """A label under its join id. `late`: it was behind the watermark of its source; `known_ms`: see RecordAccepted."""

    model: str
    join_id: str
    label_id: str
    value: float | str | bool | None
    late: bool
    known_ms: int | None = None


class OutcomeScored(Event):
    """A prediction, as the first of its record's two outcomes."""

    prediction: PredictionMade
    scored_ms: int


class LabelStatus(StrEnum):
    LABELLED = "labelled"
    ABSENT = "absent"  # the definition says what a missing label means
    UNLABELLED = "unlabelled"


class OutcomeMatured(Event):
    """A prediction with its label, `matures_after` its time."""

    prediction: PredictionMade
    scored_ms: int
    status: LabelStatus
    label: float | str | None
    label_id: str | None


class RecordStreamed(Event):
    """A record came on the stream and was answered, when another prediction, as a request's, had made its outcome.

    `status`: of that outcome; None while it is not decided.
    """

    model: str
    record_id: str
    status: LabelStatus | None = None


class OutcomeAnswers(Contract):
    """Who had said what of a decided outcome: what its label is held against. `due_ms`: the event time of the outcome,
    which with the record's id is its place in the order of decision."""

    due_ms: int
    answered_by: int | None
    champion: int | None
    candidate: int | None
    rollout_id: str | None
    outputs: dict[int, tuple[float, ...]]


class OutcomeRevised(Event):
    """A label that came behind the watermark, or dated later, and before it expired.

    `before`: the label that was in force until now. `answers`: absent where nothing answered, and in what was written
    before there was such a field.
    """

    model: str
    record_id: str
    label: float | str | None
    label_id: str
    before: float | str | None
    answers: OutcomeAnswers | None = None


class LabelFate(StrEnum):
    SUPERSEDED = "superseded"
    LATE = "late"
    WITHOUT_RECORD = "without_record"


class LabelUnused(Event):
    """An accepted label that no outcome uses, and why."""

    model: str
    join_id: str
    label_id: str
    fate: LabelFate


class EventBuried(Event):
    """Stands where an event was too large for the broker: it takes the sequence, the event lies in the dead letters."""


class TimerReplayed(Event):
    """A timer of a task's fired, and its handler raised: it is to fire once more, no earlier than time has come."""

    name: str
    due_ms: int
