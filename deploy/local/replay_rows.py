"""A file's rows as records of a source and of its label source, as a Replay document says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from shared.contracts.definition_problem import did_you_mean
from shared.contracts.definitions import FieldType, HoldBack, Replay, Source
from shared.contracts.durations import format_duration, parse_duration_ms
from shared.contracts.envelope import rfc3339
from shared.contracts.errors import HeadraceError
from shared.contracts.expressions import parse
from shared.contracts.identity import canonical_text
from shared.contracts.source_fields import known_fields, required_fields
from shared.contracts.topology import Definitions
from shared.inputs.column_functions import evaluate_columns
from shared.runtime.partitioning import partition_of

ROW = "row"
PARQUET = (".parquet", ".pq")
JsonScalar = float | int | str | bool


class ReplayRefused(HeadraceError):
    """A file, a replay and its options that do not fit together: which row, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record as a client would publish it."""

    topic: str
    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Records:
    """The columns of one source's records; `times_ms` never falls."""

    source: Source
    times_ms: Sequence[int]
    columns: Mapping[str, Sequence[JsonScalar | None]]

    def __len__(self) -> int:
        return len(self.times_ms)

    def at(self, row: int) -> Outgoing:
        """The record of a row. A value that is missing is left out."""
        source = self.source
        value = {name: found for name, column in self.columns.items() if (found := column[row]) is not None}
        key = canonical_text(value.get(source.key)).encode()
        value[source.time.field] = self._time(self.times_ms[row])
        return Outgoing(source.topic_name, partition_of(key, source.partitions), key, orjson.dumps(value))

    def names(self, field: str) -> list[str | None]:
        """Whom each row names in a field, as the platform calls it; None where it names nobody."""
        column = self.columns.get(field, [None] * len(self))
        return [canonical_text(value) or None for value in column]

    def _time(self, time_ms: int) -> str | int:
        declared = self.source.fields.get(self.source.time.field)
        numeric = declared is not None and declared.type in (FieldType.NUMBER, FieldType.INTEGER)
        return time_ms if numeric else rfc3339(time_ms)


@dataclass(frozen=True, slots=True)
class ReplayRows:
    """Records of the scored source and, with the same row numbers, of its labels, timed when they fall due."""

    records: Records
    labels: Records | None

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self.records.source, *((self.labels.source,) if self.labels else ()))


def read_rows(
    replay: Replay, definitions: Definitions, file: Path, *, limit: int | None = None, label_delay: str | None = None
) -> ReplayRows:
    """The file as records. `label_delay` (`48` records, or `30m`) takes the place of the document's hold_back.

    Raises ReplayRefused.
    """
    frame = _read(file)
    frame = frame if limit is None else frame.head(limit)
    if frame.height == 0:
        raise ReplayRefused(f"{file} has no rows: there is nothing to replay")
    source = definitions.sources[replay.source]
    columns = {**{name: frame[name] for name in frame.columns}, ROW: np.arange(frame.height)}
    times_ms = _times(replay, columns, frame.height, file)
    records = Records(source, times_ms, _columns(source, replay.fields, columns, frame.height, file, own=True))
    if replay.labels is None:
        return ReplayRows(records, None)
    hold_back = replay.labels.hold_back if label_delay is None else parse_label_delay(label_delay)
    due_ms = due_times(times_ms, hold_back)
    _check_maturity(replay, definitions, times_ms, due_ms)
    label_source = definitions.sources[replay.labels.source]
    fields = _columns(label_source, replay.labels.fields, columns, frame.height, file, own=False)
    return ReplayRows(records, Records(label_source, due_ms, fields))


def parse_label_delay(text: str) -> HoldBack:
    """`48`: so many records; `30m`: so long. Raises ReplayRefused."""
    if text.strip().isdecimal():
        return HoldBack(records=int(text))
    try:
        return HoldBack(duration=parse_duration_ms(text))
    except ValueError as error:
        raise ReplayRefused(f"--label-delay {text}: {error}; or a number of records, such as 48") from error


def due_times(times_ms: Sequence[int], hold_back: HoldBack) -> list[int]:
    """When each row's label is known: event time in milliseconds, which never falls.

    Held back by k records, it is the time of the k-th row after; beyond the end the file's last step goes on.
    """
    if hold_back.duration is not None:
        return [time_ms + hold_back.duration for time_ms in times_ms]
    held, last = hold_back.records or 0, len(times_ms) - 1
    step_ms = _last_step_ms(times_ms)
    return [
        times_ms[i + held] if i + held <= last else times_ms[last] + (i + held - last) * step_ms
        for i in range(len(times_ms))
    ]


def _last_step_ms(times_ms: Sequence[int]) -> int:
    """Between the last two different times; 0 where all are one."""
    earlier = bisect_right(times_ms, times_ms[-1] - 1)
    return times_ms[-1] - times_ms[earlier - 1] if earlier else 0


def _check_maturity(replay: Replay, definitions: Definitions, times_ms: Sequence[int], due_ms: Sequence[int]) -> None:
    labels = replay.labels
    waiting = [m for m in definitions.models_on(replay.source) if labels and m.label.source == labels.source]
    for model in waiting:
        limit_ms = model.label.matures_after
        for row, (time_ms, due) in enumerate(zip(times_ms, due_ms, strict=True)):
            if due - time_ms > limit_ms:
                raise ReplayRefused(
                    f"row {row} ({rfc3339(time_ms)}): its label would come {format_duration(due - time_ms)} later, at "
                    f"{rfc3339(due)}, when model {model.name} has taken it for missing (matures_after "
                    f"{format_duration(limit_ms)}). Hold labels back for fewer records; where times are missing from "
                    "the file, hold them back by a duration (hold_back: {duration: ...}, --label-delay 24h); or raise "
                    "matures_after"
                )


def _read(file: Path) -> pl.DataFrame:
    try:
        if file.suffix.lower() in PARQUET:
            return pl.read_parquet(file)
        return pl.read_csv(file, infer_schema_length=None)
    except OSError as error:
        raise ReplayRefused(f"{file} cannot be read: {error.strerror or error}") from error
    except pl.exceptions.PolarsError as error:
        kind = "Parquet" if file.suffix.lower() in PARQUET else "CSV"
        raise ReplayRefused(
            f"{file} cannot be read as {kind} ({str(error).splitlines()[0]}): expected a CSV file with a header, or a "
            f"Parquet file with a name in {' or '.join(PARQUET)}"
        ) from error


def _evaluated(text: str, where: str, columns: Mapping[str, Any], rows: int, file: Path) -> Sequence[Any]:
    expression = parse(text)
    for name in sorted(expression.names - columns.keys()):
        raise ReplayRefused(f"{where}: {file.name} has no column {name!r}; {did_you_mean(name, columns)}")
    return evaluate_columns(expression, columns, rows).tolist()


def _times(replay: Replay, columns: Mapping[str, Any], rows: int, file: Path) -> list[int]:
    times_ms: list[int] = []
    for row, value in enumerate(_evaluated(replay.time, f"replay {replay.name}: time", columns, rows, file)):
        if not isinstance(value, float | int) or value != value:
            raise ReplayRefused(
                f"row {row} of {file.name}: its time ({replay.time}) is missing or no number: mend the row, or the "
                f"expression `time` of replay {replay.name}"
            )
        time_ms = round(value)
        if times_ms and time_ms < times_ms[-1]:
            raise ReplayRefused(
                f"row {row} of {file.name} lies at {rfc3339(time_ms)}, before the row above it at "
                f"{rfc3339(times_ms[-1])}: sort the file by time, or mend the expression `time` of replay {replay.name}"
            )
        times_ms.append(time_ms)
    return times_ms


def _columns(
    source: Source, fields: Mapping[str, str], columns: Mapping[str, Any], rows: int, file: Path, *, own: bool
) -> dict[str, list[JsonScalar | None]]:
    """Values by field. `own`: a field that is not named takes the column of its own name."""
    found: dict[str, list[JsonScalar | None]] = {}
    for name, spec in known_fields(source).items():
        if name == source.time.field:
            continue
        where = f"field {name} of source {source.name}"
        if name in fields:
            values = _evaluated(fields[name], where, columns, rows, file)
        elif own and name in columns and name != ROW:
            values = columns[name].to_list()
        elif name in required_fields(source):
            raise ReplayRefused(
                f"{where}: {file.name} has no column of that name ({did_you_mean(name, columns)}), and every record "
                "needs it: say under `fields` of the replay how it comes about"
            )
        else:
            continue
        declared = None if spec is None else spec.type
        found[name] = [_typed(value, declared) for value in values]
    return found


def _typed(value: Any, declared: FieldType | None) -> JsonScalar | None:
    """The value as JSON of the declared type, where it fits; otherwise as it is, to be rejected with its reason."""
    if value is None or value != value:
        return None
    if declared is FieldType.STRING or (declared is None and not isinstance(value, float | int)):
        return canonical_text(value)
    if isinstance(value, bool):
        return value if declared in (FieldType.BOOLEAN, None) else int(value)
    if isinstance(value, float | int):
        if declared is FieldType.BOOLEAN and value in (0, 1):
            return bool(value)
        if declared is not FieldType.NUMBER and float(value).is_integer():
            return int(value)
        return value
    return str(value)
