"""Of predictions: 3, 4, 10, 14, 15, 19."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

import polars as pl

from shared.contracts.control import Phase
from shared.contracts.definitions import Clock, FeatureView, Model, Source
from shared.contracts.flow import (
    InputsComputed,
    LabelObserved,
    LabelUnused,
    OutcomeMatured,
    OutcomeRevised,
    OutcomeScored,
    PredictionMade,
    WindowsChanged,
)
from shared.contracts.identity import canonical_text, split_hash
from shared.contracts.topics import FEATURES, JOINS, OUTCOMES, PREDICTIONS, SCORING
from shared.contracts.topology import Definitions
from shared.inputs.vector import InputPlan
from shared.runtime.log import TopicPartition
from tests.scenarios.archived_records import RecordRow, accepted_records
from tests.scenarios.evidence import Evidence
from tests.scenarios.inputs_again import inputs_again, views_read
from tests.scenarios.set_aside import letters, replays, undecided
from tests.scenarios.topic_history import Read, TopicHistory
from tests.scenarios.watermarks import at_end
from tests.scenarios.ways import records_at, taken_again

FLOAT32 = 1e-5


def one_vector_and_artifact(evidence: Evidence) -> Iterator[str]:
    """3: the inputs are those that the definition names, and each output names the artifact of its version."""
    for read, made in _predictions(evidence):
        platform = evidence.platform(made.control)
        definition = platform.definitions.models.get(made.model)
        if definition is None:
            yield f"{_at(read)}: made under control position {made.control}, which knows no model {made.model}"
            continue
        names = _input_names(definition, platform.definitions)
        if made.inputs.keys() != names:
            yield f"{_at(read)}: inputs {sorted(made.inputs.keys() ^ names)} are missing or too many"
        state = platform.model(made.model)
        for number, output in made.outputs.items():
            version = state.versions.get(number)
            if version is None or version.artifact.sha256 != output.artifact_sha256:
                yield f"{_at(read)}: version {number} is said to have artifact {output.artifact_sha256}"
            elif number not in state.in_play:
                yield f"{_at(read)}: version {number} was not in play, {state.in_play} were"


_NAMES: dict[tuple[int, str], tuple[Definitions, frozenset[str]]] = {}


def _input_names(model: Model, definitions: Definitions) -> frozenset[str]:
    held = _NAMES.get((id(definitions), model.name))
    if held is None or held[0] is not definitions:
        names = frozenset(name for name, _ in InputPlan.of(model, definitions).names_and_kinds)
        held = _NAMES[id(definitions), model.name] = (definitions, names)
    return held[1]


def scoring_again(evidence: Evidence) -> Iterator[str]:
    """4: the same artifact says the same of the same inputs, within float32 rounding; every version in play says it,
    but where it gives no finite number. Needs the object store."""
    for read, made in _predictions(evidence):
        state = evidence.platform(made.control).model(made.model)
        for number, output in made.outputs.items():
            version = state.versions.get(number)
            sha256 = "" if version is None else version.artifact.sha256
            model = evidence.model(sha256, evidence.platform(made.control), made.model)
            if model is None:
                continue
            again = model.predict_row(made.inputs)
            close = (
                math.isclose(a, b, rel_tol=FLOAT32, abs_tol=FLOAT32) for a, b in zip(again, output.output, strict=True)
            )
            if len(again) != len(output.output) or not all(close):
                yield f"{_at(read)}: version {number} said {output.output}, and says {tuple(again)}"
        for number in state.in_play:
            silent = None if number in made.outputs else state.versions[number].artifact.sha256
            model = silent and evidence.model(silent, evidence.platform(made.control), made.model)
            if model and all(map(math.isfinite, model.predict_row(made.inputs))):
                yield f"{_at(read)}: version {number}, which was in play, has no output"


def nothing_newer_than_as_of(evidence: Evidence) -> Iterator[str]:
    """10: every input computed a second time, by other code, from the archive and what is newer than it in the log."""
    definitions = evidence.history.definitions
    for model in definitions.models.values():
        records = accepted_records(evidence, model.scores)
        yield from records.wrong
        if not records.rows:
            continue
        seen = {name: _seen_by(evidence, definitions.views[name], records.rows) for name in views_read(model)}
        rows = [
            {
                "record_id": row.record_id,
                "time_ms": row.time_ms,
                "key": row.key,
                "position": row.position,
                **{f"seen.{name}": places.get(row.record_id) for name, places in seen.items()},
                **{name: row.value.get(name) for name in definitions.sources[model.scores].fields},
            }
            for row in records.rows
        ]
        again = inputs_again(definitions, model, pl.DataFrame(rows, infer_schema_length=None))
        expected = {row.pop("record_id"): row for row in again.to_dicts()}
        too_late = _too_late(evidence, model, records.rows)
        for read, computed in evidence.history.events(SCORING.of(model.name).name, InputsComputed):
            if computed.late and computed.record_id in too_late:
                continue
            wrong = _differing(expected.get(computed.record_id, {}), computed.inputs)
            if wrong:
                yield f"{_at(read)}: {wrong} of record {computed.record_id} are not what stood before it as of its time"


def _too_late(evidence: Evidence, model: Model, records: Sequence[RecordRow]) -> Set[str]:
    """Records whose entity was forgotten once a clock ran ahead of all records; one that comes late may find nothing
    of it.

    A wall clock that jumps ahead takes the watermark along, for hours, and what no record in time can need is
    forgotten; before which record no log says. So does a tick of the clock of events that names a time beyond any
    record; then those are excused that have no row before it.
    """
    definitions = evidence.history.definitions
    source, found = definitions.sources[model.scores], set[str]()
    by_the_wall, newest_ms = source.time.clock is Clock.WALL, max((r.time_ms for r in records), default=0)
    for view in (definitions.views[name] for name in views_read(model)):
        forgotten, before = set[str | None](), set[tuple[str | None, int]]()
        for read, row in evidence.history.events(FEATURES.of(view.name).name, WindowsChanged):
            if not row.state and (by_the_wall or read.message.time_ms > newest_ms):
                forgotten.add(row.entity)
            elif not by_the_wall and row.entity not in forgotten:
                before.add((row.entity, read.message.time_ms))
        entities = ((r, _entity(r, view, source)) for r in records)
        found |= {r.record_id for r, name in entities if name in forgotten and (name, r.time_ms) not in before}
    return found


def _entity(record: RecordRow, view: FeatureView, source: Source) -> str | None:
    return record.key if view.entity == source.key else canonical_text(record.value.get(view.entity))


def _seen_by(evidence: Evidence, view: FeatureView, records: Sequence[RecordRow]) -> Mapping[str, int]:
    """Where each record was taken in the log of the view's entity, of those that the view took into account.

    One that could not be taken where it stood: where it was replayed, or nowhere.
    """
    history = evidence.history
    own, *_ = way = history.definitions.ways[view.source]
    stage = next(one for one in way if one.entity == view.entity)
    stood = {one.record_id: one for one in records_at(history, stage)}
    # What the archive alone still has stood before all that the log has, and no row's ordinal is above its offset.
    places = {row.record_id: row.position for row in records} if stage is own else {}
    places |= {record_id: _place(one.read) for record_id, one in stood.items()}
    again = taken_again(history, stage)
    places |= {record_id: _place(read) for record_id, read in again.items() if read is not None}
    nowhere = {record_id for record_id, read in again.items() if read is None}
    before = {r for r, one in stood.items() if view.name not in evidence.platform(one.control).definitions.views}
    return {record_id: place for record_id, place in places.items() if record_id not in nowhere | before}


def _place(read: Read) -> int:
    return (read.tp.partition << 40) + read.offset


def _differing(expected: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    return sorted(name for name in expected.keys() | found.keys() if not _same(expected.get(name), found.get(name)))


def _same(one: object, other: object) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=FLOAT32, abs_tol=FLOAT32)
    return one == other


def split_decides(evidence: Evidence) -> Iterator[str]:
    """14: the candidate, exactly when the split hash lies below the share of the control position that is named."""
    for read, made in _predictions(evidence):
        platform = evidence.platform(made.control)
        state, definition = platform.model(made.model), platform.definitions.models.get(made.model)
        rollout = state.rollout
        if rollout is None or rollout.phase not in (Phase.SHADOW, Phase.STEP) or definition is None:
            expected, named = state.champion, (None, 0.0)
        else:
            by_entity = definition.rollout.split == "entity"
            subject = made.entity if by_entity else made.record_id or made.request_id or made.entity
            drawn = split_hash(rollout.rollout_id, subject)
            expected = rollout.candidate if drawn < rollout.share else state.champion
            named = (rollout.rollout_id, rollout.share)
        if made.answered_by != expected or (made.rollout_id, made.share) != named:
            yield (
                f"{_at(read)}: {made.answered_by} answered {made.record_id} under {(made.rollout_id, made.share)}, "
                f"by control position {made.control} it is {expected} under {named}"
            )


def share_zero_is_none(evidence: Evidence) -> Iterator[str]:
    """15: where the share is 0, by what the prediction says or because of the shadow, no candidate has answered."""
    for read, made in _predictions(evidence):
        if made.candidate is None or made.answered_by != made.candidate:
            continue
        rollout = evidence.platform(made.control).model(made.model).rollout
        if made.share == 0.0 or (rollout is not None and rollout.phase is Phase.SHADOW):
            yield f"{_at(read)}: candidate {made.candidate} answered record {made.record_id} without a share"


def each_label_has_one_fate(evidence: Evidence) -> Iterator[str]:
    """19: one outcome a join id; each label used, superseded, late or without a record, counted as one of them."""
    for name, model in evidence.history.definitions.models.items():
        outcomes = OUTCOMES.of(name).name
        for kind in (OutcomeScored, OutcomeMatured):
            ids = Counter(event.prediction.record_id for _, event in evidence.history.events(outcomes, kind))
            for record_id, times in ids.items():
                if times > 1:
                    yield f"{name}: record {record_id} has {times} of {kind.__name__}"
        fates: Counter[str] = Counter()
        for _, event in evidence.history.events(outcomes, OutcomeMatured, OutcomeRevised, LabelUnused):
            if event.label_id is not None:
                fates[event.label_id] += 1
        told = Counter(e.label_id for _, e in evidence.history.events(JOINS.of(name).name, LabelObserved))
        lost, waits = _lost_labels(evidence.history, name), undecided(evidence.history, name)
        sure_ms = at_end(evidence.history, TopicPartition(outcomes, 0)).watermark_ms - model.label.expires_after
        for read, label in evidence.history.events(JOINS.of(name).name, LabelObserved):
            known, due = fates[label.label_id], told[label.label_id] - lost[label.label_id]
            if known > due or (known < due and read.message.time_ms < sure_ms and not waits[label.join_id]):
                yield f"{_at(read)}: label {label.label_id} of {name} came {due} times and has {known} fates"
        for label_id in fates.keys() - told.keys():
            yield f"{name}: label {label_id} has a fate and never came"


def _lost_labels(history: TopicHistory, model: str) -> Counter[str]:
    """Labels that the join could not take, less those that it was given again."""
    joins = f"monitoring/join/{JOINS.of(model).name}/"
    dead = (one.message for one in letters(history, "monitoring") if one.task.startswith(joins))
    found = Counter(m.event.label_id for m in dead if m is not None and isinstance(m.event, LabelObserved))
    again = (read.message.event for read in replays(history, joins))
    found.subtract(event.label_id for event in again if isinstance(event, LabelObserved))
    return found


def _predictions(evidence: Evidence) -> Iterator[tuple[Read, PredictionMade]]:
    for model in evidence.history.definitions.models:
        yield from evidence.history.events(PREDICTIONS.of(model).name, PredictionMade)


def _at(read: Read) -> str:
    return f"{read.tp.topic}/{read.tp.partition} offset {read.offset}"
