"""A model's inputs as of each record: from the windows as they stand before it, at its event time. Then it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.features.entity_state import STATE, EntityState
from services.features.source_plan import SourcePlan, plan_of
from shared.contracts.envelope import Message
from shared.contracts.flow import InputsComputed, RecordAccepted, WindowsChanged
from shared.contracts.topics import FEATURES
from shared.inputs.vector import features_as_of
from shared.inputs.windows import WindowState, forget_ms, observe
from shared.runtime.step import Context, Due, Output, Publish, SetTimer, Step

LOOK = "look"


def on_accepted(
    state: EntityState | None, message: Message, context: Context
) -> tuple[EntityState | None, Sequence[Output]]:
    """One event for each model that scores the source, then the new row of each view."""
    record = message.event
    if not isinstance(record, RecordAccepted):
        raise TypeError(f"compute reads RecordAccepted, found {type(record).__name__} in event {message.id}")
    plan = plan_of(context.platform.definitions, record.source)
    before: Mapping[str, WindowState] = state.windows if state else {}
    outputs: list[Output] = _computed(plan, before, record, message)
    if not plan.views:
        return None, outputs
    after = _observed(plan, before, record, message.time_ms)
    for view, topic in plan.views:
        row = WindowsChanged(view=view.name, entity=message.key, state=after[view.name].as_json())
        outputs.append(Publish(topic, message.key, row, message.time_ms))
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


def useless_after_ms(plan: SourcePlan, windows: Mapping[str, WindowState]) -> int:
    """The last as-of time for which any of the windows is of use."""
    known = (forget_ms(view, windows.get(view.name)) for view, _ in plan.views)
    return max(last_ms for last_ms in known if last_ms is not None)


def _computed(
    plan: SourcePlan, windows: Mapping[str, WindowState], record: RecordAccepted, message: Message
) -> list[Output]:
    time_ms = message.time_ms
    # Once for all models: several of them often read the same views.
    features = features_as_of(plan.read, windows, time_ms)
    outputs: list[Output] = []
    for model, topic in plan.models:
        computed = InputsComputed(
            model=model.model,
            record_id=record.record_id,
            entity=message.key,
            late=record.late,
            inputs=model.inputs_given(record.value, time_ms, features),
        )
        outputs.append(Publish(topic, message.key, computed, time_ms))
    return outputs


def _observed(
    plan: SourcePlan, before: Mapping[str, WindowState], record: RecordAccepted, time_ms: int
) -> dict[str, WindowState]:
    lateness_ms = plan.source.time.allowed_lateness
    return {
        view.name: observe(
            view, before.get(view.name), time_ms, record.record_id, record.value, allowed_lateness_ms=lateness_ms
        )
        for view, _ in plan.views
    }


def compute_step() -> Step:
    """Keyed by the record's key, which is the entity."""
    return Step("compute", STATE, {RecordAccepted: on_accepted}, {LOOK: on_look})
