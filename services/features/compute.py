"""A model's inputs as of each record: from the windows as they stand before it, at its event time. Then it counts.

Windows of several entities lie in several partitions, so a record goes from one to the next, and takes along what was
known of each. What needs its key alone is done in its own log, without a further step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from services.features.entity_state import STATE, EntityState
from services.features.stage_plan import Onward, StagePlan, plan_of
from shared.contracts.envelope import Message
from shared.contracts.flow import InputsComputed, InputValue, RecordAccepted, RecordRekeyed, WindowsChanged
from shared.contracts.identity import canonical_text
from shared.contracts.topics import FEATURES
from shared.inputs.vector import features_as_of
from shared.inputs.windows import WindowState, forget_ms, observe
from shared.runtime.step import Context, Due, Output, Publish, SetTimer, Step

LOOK = "look"


class Passing(NamedTuple):
    """A record as it comes to a stage. `entity` None: it names none. `models` None: all of its source's are ahead."""

    source: str
    record_id: str
    key: str
    entity: str | None
    late: bool
    value: dict[str, JsonValue]
    models: tuple[str, ...] | None
    features: Mapping[str, InputValue]
    time_ms: int


def on_accepted(
    state: EntityState | None, message: Message, context: Context
) -> tuple[EntityState | None, Sequence[Output]]:
    """In the record's own log its key is the entity, and nothing is known yet."""
    event = message.event
    if not isinstance(event, RecordAccepted):
        raise TypeError(f"compute reads RecordAccepted, found {type(event).__name__} in event {message.id}")
    key = message.key
    record = Passing(
        event.source, event.record_id, key, key, event.late, event.value, None, _NOTHING_KNOWN, message.time_ms
    )
    return _passed(state, record, plan_of(context.platform.definitions, context.task.subject))


def on_rekeyed(
    state: EntityState | None, message: Message, context: Context
) -> tuple[EntityState | None, Sequence[Output]]:
    """In the log of another entity. A record that names none goes through without a trace in any window."""
    event = message.event
    if not isinstance(event, RecordRekeyed):
        raise TypeError(f"compute reads RecordRekeyed, found {type(event).__name__} in event {message.id}")
    record = Passing(
        event.source, event.record_id, event.key, event.entity, event.late, event.value, event.models, event.features,
        message.time_ms,
    )  # fmt: skip
    plan = plan_of(context.platform.definitions, context.task.subject)
    if event.entity is None:
        # The state is that of whoever has the record's key for a name.
        return state, _passed(None, record, plan)[1]
    return _passed(state, record, plan)


def _passed(state: EntityState | None, record: Passing, plan: StagePlan) -> tuple[EntityState | None, Sequence[Output]]:
    """The inputs of each model that has all it needs, the record on its way, then the new row of each view."""
    before: Mapping[str, WindowState] = state.windows if state else {}
    # Once for all models: several of them often read the same views.
    known = {**record.features, **features_as_of(plan.read, before, record.time_ms)}
    outputs: list[Output] = _computed(plan, record, known)
    if plan.onward is not None:
        outputs.append(_sent_on(plan.onward, record, known))
    entity = record.entity
    if entity is None or not plan.views:
        return None, outputs
    after = _observed(plan, before, record)
    for view, topic in plan.views:
        row = WindowsChanged(view=view.name, entity=entity, state=after[view.name].as_json())
        outputs.append(Publish(topic, entity, row, record.time_ms))
    if state is not None:
        return EntityState(after, state.look_ms), outputs
    look_ms = useless_after_ms(plan, after)
    return EntityState(after, look_ms), [*outputs, SetTimer(LOOK, look_ms)]


def on_look(state: EntityState | None, due: Due, context: Context) -> tuple[EntityState | None, Sequence[Output]]:
    """Forget the entity if its windows are of no use any more, and say so in the tables; otherwise look again."""
    if state is None:
        return None, []
    plan = plan_of(context.platform.definitions, context.task.subject)
    latest_ms = useless_after_ms(plan, state.windows)
    # One timer for each entity at a time: moving it with every record would cost more than looking again.
    if latest_ms > due.due_ms:
        return EntityState(state.windows, latest_ms), [SetTimer(LOOK, latest_ms)]
    return None, [
        Publish(FEATURES.of(view), due.key, WindowsChanged(view=view, entity=due.key, state={}), due.due_ms)
        for view in state.windows
    ]


def useless_after_ms(plan: StagePlan, windows: Mapping[str, WindowState]) -> int:
    """The last as-of time for which any of the windows is of use."""
    known = (forget_ms(view, windows.get(view.name)) for view, _ in plan.views)
    return max(last_ms for last_ms in known if last_ms is not None)


_NOTHING_KNOWN: Mapping[str, InputValue] = {}


def _computed(plan: StagePlan, record: Passing, known: Mapping[str, InputValue]) -> list[Output]:
    outputs: list[Output] = []
    for model, topic in plan.models:
        # One that was defined while the record was on its way begins with a later record.
        if record.models is not None and model.model not in record.models:
            continue
        computed = InputsComputed(
            model=model.model,
            record_id=record.record_id,
            entity=record.key,
            late=record.late,
            inputs=model.inputs_given(record.value, record.time_ms, known),
        )
        outputs.append(Publish(topic, record.key, computed, record.time_ms))
    return outputs


def _sent_on(onward: Onward, record: Passing, known: Mapping[str, InputValue]) -> Publish:
    entity = canonical_text(record.value.get(onward.entity)) or None
    waiting = record.models
    rekeyed = RecordRekeyed(
        source=record.source,
        record_id=record.record_id,
        key=record.key,
        entity=entity,
        late=record.late,
        value=record.value,
        models=onward.models if waiting is None else tuple(name for name in onward.models if name in waiting),
        features={name: known[name] for name in onward.features if name in known},
    )
    # Without an entity it goes by its key: all such records of a source in one partition would be a burden there.
    return Publish(onward.topic, entity or record.key, rekeyed, record.time_ms)


def _observed(plan: StagePlan, before: Mapping[str, WindowState], record: Passing) -> dict[str, WindowState]:
    return {
        view.name: observe(
            view,
            before.get(view.name),
            record.time_ms,
            record.record_id,
            record.value,
            allowed_lateness_ms=plan.allowed_lateness_ms,
        )
        for view, _ in plan.views
    }


def compute_step() -> Step:
    """Keyed by the entity of the log."""
    return Step("compute", STATE, {RecordAccepted: on_accepted, RecordRekeyed: on_rekeyed}, {LOOK: on_look})
