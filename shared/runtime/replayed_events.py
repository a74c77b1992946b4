"""A dead letter that enters its task's input again: for that task alone, once, and late if time has passed it."""

from __future__ import annotations

from dataclasses import replace

from shared.contracts.envelope import Message
from shared.contracts.flow import InputsComputed, LabelObserved, RecordAccepted, RecordRekeyed, TimerReplayed
from shared.runtime.step import Due


def as_of_now(message: Message, watermark_ms: int) -> Message:
    """The event as its handler is to see it: behind the watermark it is late, as any record that comes so.

    Where a label was late its newest known time counts as well: nobody here knew it before.
    """
    event = message.event
    if message.time_ms >= watermark_ms:
        return message
    match event:
        case RecordAccepted(late=False) | LabelObserved(late=False):
            return replace(message, event=event.model_copy(update={"late": True, "known_ms": watermark_ms}))
        case InputsComputed(late=False) | RecordRekeyed(late=False):
            return replace(message, event=event.model_copy(update={"late": True}))
        case _:
            return message


def fired_again(message: Message, timer: TimerReplayed, watermark_ms: int) -> Due:
    """The timer, which fires now. What it leads to must not lie behind what the task has promised since."""
    return Due(message.id, message.key, timer.name, max(timer.due_ms, watermark_ms))
