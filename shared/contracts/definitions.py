"""What users declare: sources, feature views, models, and how a file is replayed as a source."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictFloat, StrictInt, model_validator

from shared.contracts.contract import Contract, Name
from shared.contracts.detectors import Detector, complete
from shared.contracts.durations import Duration

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


class FieldType(StrEnum):
    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"


class FieldSpec(Contract):
    """The type of one field of a record, and its limits. `optional`: it may be absent or null."""

    type: FieldType
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str, ...] | None = None
    optional: bool = False


def _field_spec(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class Clock(StrEnum):
    """What moves a source's time on when it is idle: the wall clock, or ticks written by a replay or a generator."""

    WALL = "wall"
    EVENTS = "events"


class TimeSpec(Contract):
    """Where a record's event time stands (RFC 3339 or epoch milliseconds), and what is late or ahead."""

    field: str
    allowed_lateness: Duration = 0
    max_ahead: Duration = 10_000
    clock: Clock = Clock.WALL


class Retention(Contract):
    """How long the topic, the archive, and the memory of an id for de-duplication are kept."""

    topic: Duration = 7 * DAY_MS
    archive: Duration = 730 * DAY_MS
    duplicates: Duration = 7 * DAY_MS


class Source(Contract):
    """A topic that users publish to. Labels are a source like any other."""

    kind: Literal["Source"] = "Source"
    name: Name
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = None
    key: str
    id: str
    time: TimeSpec
    fields: Annotated[
        dict[str, Annotated[FieldSpec, BeforeValidator(_field_spec, json_schema_input_type=FieldType | FieldSpec)]],
        Field(min_length=1),
    ]
    partitions: Annotated[int, Field(ge=1, le=256)] = 1
    retention: Retention = Retention()

    @property
    def topic_name(self) -> str:
        return self.topic or self.name


class Aggregate(StrEnum):
    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    STD = "std"  # sample standard deviation (n - 1)
    MIN = "min"
    MAX = "max"
    LAST = "last"
    DISTINCT_COUNT = "distinct_count"
    TIME_SINCE_LAST = "time_since_last"  # seconds
    EWM_MEAN = "ewm_mean"


class Feature(Contract):
    """One aggregate over the events of an entity with event time in [t - over, t)."""

    aggregate: Aggregate
    of: str | None = None
    over: Duration | None = None
    half_life: Duration | None = None

    @model_validator(mode="after")
    def _complete(self) -> Feature:
        counted = self.aggregate in (Aggregate.COUNT, Aggregate.TIME_SINCE_LAST)
        if counted and self.of is not None:
            raise ValueError(f"{self.aggregate} counts records: it takes no `of`")
        if not counted and self.of is None:
            raise ValueError(f"{self.aggregate} needs `of`: the field that it aggregates")
        if self.aggregate is Aggregate.EWM_MEAN and not self.half_life:
            raise ValueError("ewm_mean needs `half_life`, such as 1h")
        if self.aggregate is not Aggregate.EWM_MEAN and self.half_life is not None:
            raise ValueError(f"`half_life` belongs to ewm_mean, not to {self.aggregate}")
        windowless = (Aggregate.LAST, Aggregate.TIME_SINCE_LAST, Aggregate.EWM_MEAN)
        if self.over is None and self.aggregate not in windowless:
            raise ValueError(f"{self.aggregate} needs `over`: the window, such as 1h")
        return self


class FeatureView(Contract):
    """Windowed features of an entity, shared by any number of models. `ttl`: nothing older counts."""

    kind: Literal["FeatureView"] = "FeatureView"
    name: Name
    source: Name
    entity: str
    ttl: Duration = 30 * DAY_MS
    features: Annotated[dict[Name, Feature], Field(min_length=1)]


class Task(StrEnum):
    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Inputs(Contract):
    """A model's input vector, in this order: fields of the record, derived expressions, every feature of each view."""

    fields: tuple[str, ...] = ()
    derived: dict[Name, str] = {}
    views: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _not_empty(self) -> Inputs:
        if not (self.fields or self.derived or self.views):
            raise ValueError("a model needs at least one input: fields, derived or views")
        return self


class Label(Contract):
    """Which field of which source is the truth, and when it is taken for known or for missing."""

    source: Name
    field: str
    joins: str
    matures_after: Duration
    expires_after: Duration
    absent: float | str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Label:
        if self.expires_after < self.matures_after:
            raise ValueError("expires_after must not be shorter than matures_after")
        return self


class Search(Contract):
    """Model families that a run tries, and how many parameter sets of each."""

    families: tuple[str, ...] = ("hist_gradient_boosting", "linear")
    trials: Annotated[int, Field(ge=1, le=200)] = 2


class Training(Contract):
    """What a run fits. `window`: auto (compared by the run), all, or the newest so many rows."""

    search: Search = Search()
    seed: int = 7
    minimum_rows: Annotated[int, Field(ge=50)] = 2_000
    window: Literal["auto", "all"] | Annotated[int, Field(ge=50)] = "auto"


class Metric(StrEnum):
    LOG_LOSS = "log_loss"
    BRIER = "brier"
    ZERO_ONE = "zero_one"
    ACCURACY = "accuracy"
    ABSOLUTE_ERROR = "absolute_error"
    SQUARED_ERROR = "squared_error"


class Monitor(Contract):
    """The loss that monitors and judges bound to [0, 1], the detector that watches it, what else is monitored, and the
    reported figures."""

    metric: Metric | None = None  # default: log_loss, or absolute_error for regression
    clip: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    scale: Annotated[float, Field(gt=0)] | None = None
    report: tuple[Metric, ...] = ()
    expected_run_length: Annotated[float, Field(ge=100)] = 1_000_000
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    reference_outcomes: Annotated[int, Field(ge=50)] = 500
    report_every: Annotated[int, Field(ge=1)] = 100
    residual: bool = True
    features: bool = True
    detector: Detector = Detector.E_DETECTOR
    detector_parameters: dict[str, StrictInt | StrictFloat] = {}

    @model_validator(mode="after")
    def _parameters(self) -> Monitor:
        complete(self.detector, self.detector_parameters)
        return self


class Policy(StrEnum):
    EVIDENCE = "evidence"
    EVERY = "every"
    NEVER = "never"


class Retrain(Contract):
    """When a model is fitted anew. `every`: after `rows` outcomes, live at once; `never`: the first stays."""

    policy: Policy = Policy.EVIDENCE
    rows: Annotated[int, Field(ge=50)] | None = None
    horizon: Annotated[int, Field(ge=1)] = 10_000
    cost: Annotated[float, Field(ge=0)] = 50.0
    cooldown: Duration = HOUR_MS
    budget_per_day: Annotated[int, Field(ge=1)] = 24

    @model_validator(mode="after")
    def _complete(self) -> Retrain:
        if self.policy is Policy.EVERY and self.rows is None:
            raise ValueError("retrain policy `every` needs `rows`: after how many outcomes")
        return self


class Approval(StrEnum):
    AUTO = "auto"
    MANUAL = "manual"


class Guardrails(Contract):
    """Limits of live requests that abort a rollout: errors per request, and latency."""

    error_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    latency_p99: Duration | None = None


class Rollout(Contract):
    """How a candidate gets traffic: paired shadow, then `steps` in percent, the last of which is 100."""

    shadow: bool = True
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], Field(min_length=1)] = (5, 25, 100)
    split: Literal["entity", "record"] = "entity"
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    approval: Approval = Approval.AUTO
    deadline: Duration = 7 * DAY_MS
    watch: Duration = DAY_MS
    revise: Literal["report", "roll_back"] = "report"
    guardrails: Guardrails = Guardrails()

    @model_validator(mode="after")
    def _rising(self) -> Rollout:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[-1] != 100:
            raise ValueError("steps must rise and end with 100, such as [5, 25, 100]")
        return self


class Model(Contract):
    """A model that the platform fits, serves, watches and renews."""

    kind: Literal["Model"] = "Model"
    name: Name
    scores: Name
    mode: Literal["stream", "request"] = "stream"
    task: Task
    inputs: Inputs
    label: Label
    training: Training = Training()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    rollout: Rollout = Rollout()

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        metric, regression = self.metric, self.task is Task.REGRESSION
        if regression != (metric in (Metric.ABSOLUTE_ERROR, Metric.SQUARED_ERROR)):
            raise ValueError(f"monitor.metric {metric} does not fit task {self.task}")
        if metric is Metric.ACCURACY:
            raise ValueError("monitor.metric must be a loss: use zero_one, and report accuracy")
        if metric is Metric.SQUARED_ERROR:
            raise ValueError(
                "monitor.metric must be bounded: use absolute_error with a scale, and report squared_error"
            )
        if regression and self.monitor.scale is None:
            raise ValueError("a regression needs monitor.scale: the error that counts as 1, in units of the label")
        return self

    @property
    def metric(self) -> Metric:
        """The loss that is monitored."""
        default = Metric.ABSOLUTE_ERROR if self.task is Task.REGRESSION else Metric.LOG_LOSS
        return self.monitor.metric or default

    @property
    def reported(self) -> tuple[Metric, ...]:
        """The figures that are shown, the first of which is *the* quality of the model."""
        default = Metric.ABSOLUTE_ERROR if self.task is Task.REGRESSION else Metric.ACCURACY
        return self.monitor.report or (default,)


class HoldBack(Contract):
    """Labels follow their record after so many records or so long."""

    records: Annotated[int, Field(ge=0)] | None = None
    duration: Duration | None = None

    @model_validator(mode="after")
    def _one(self) -> HoldBack:
        if (self.records is None) == (self.duration is None):
            raise ValueError("say either `records` or `duration`")
        return self


class ReplayLabels(Contract):
    """The columns that become records of a label source: `fields` maps its fields to expressions over columns."""

    source: Name
    fields: Annotated[dict[str, str], Field(min_length=1)]
    hold_back: HoldBack


class Replay(Contract):
    """How the rows of a file become records of a source. Not published: it stays with the file.

    `fields` maps each field of the source to an expression over the file's columns and `row` (0-based); a field that
    is not named takes the column of its own name. `time` is an expression that gives epoch milliseconds.
    """

    kind: Literal["Replay"] = "Replay"
    name: Name
    source: Name
    fields: dict[str, str] = {}
    time: str
    labels: ReplayLabels | None = None
    block: Annotated[int, Field(ge=1)] = 48


Definition = Annotated[Source | FeatureView | Model | Replay, Field(discriminator="kind")]
Published = Annotated[Source | FeatureView | Model, Field(discriminator="kind")]
