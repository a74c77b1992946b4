"""Predictions and labels under the join id, so that they meet in one log: `joins.<model>`."""

from __future__ import annotations

from services.monitoring.label_join import remembered_ms
from shared.contracts.definitions import Clock
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.flow import LabelObserved, PredictionMade, RecordAccepted
from shared.contracts.identity import canonical_text
from shared.contracts.topics import JOINS
from shared.runtime.step import Context, Publish


def key_prediction(state: None, message: Message, context: Context) -> tuple[None, list[Publish]]:
    """A prediction by its record id. One without is a question about no record: no label can answer it.

    A request that comes so late (its replica was cut off, or it asked about a time long ago) that an outcome of its
    record may have been forgotten makes none. Nor does one that comes before this log has shown its model: a replica
    follows control.v1 itself, and may be further. No version can have answered it.
    """
    event = message.event
    assert isinstance(event, PredictionMade)
    if event.record_id is None:
        return None, []
    time_ms = message.time_ms
    if event.origin == "http":
        if event.model not in context.platform.definitions.models:
            return None, []
        if time_ms + remembered_ms(event.model, context) < context.watermark_ms:
            return None, []
        time_ms = _request_ms(event.model, time_ms, context)
    return None, [Publish(JOINS.of(event.model), event.record_id, event, time_ms)]


def _request_ms(model: str, time_ms: int, context: Context) -> int:
    """When a request counts as made: it has no part in watermarks, and may ask about any time.

    Behind this task's marks nothing may go. Where a clock is that of events, which may be long past, a request as of
    today would fall due when that clock shows today, and its record, when that comes, with it: it is dated by the log.
    """
    now_ms = context.watermark_ms
    time_ms = max(time_ms, now_ms)
    definition = context.platform.definitions.models[model]
    time = context.platform.definitions.sources[definition.scores].time
    if time.clock is not Clock.EVENTS or now_ms == NEVER_MS:
        return time_ms
    return min(time_ms, now_ms + max(definition.label.matures_after, time.max_ahead))


def key_label(state: None, message: Message, context: Context) -> tuple[None, list[Publish]]:
    """A record of a label source, for each model whose truth it is, by the id of the record that it speaks of.

    One that names no record goes under the empty id, where nothing is ever predicted: its fate is told like any.
    """
    event = message.event
    assert isinstance(event, RecordAccepted)
    published: list[Publish] = []
    for model in context.platform.definitions.models_labelled_by(event.source):
        value = event.value.get(model.label.field)
        join_id = canonical_text(event.value.get(model.label.joins))
        label = LabelObserved(
            model=model.name,
            join_id=join_id,
            label_id=event.record_id,
            value=value if isinstance(value, str | int | float) else None,
            late=event.late,
            known_ms=event.known_ms,
        )
        published.append(Publish(JOINS.of(model.name), join_id, label, message.time_ms))
    return None, published
