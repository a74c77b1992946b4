"""What a handler's outputs become: addressed and numbered events, timers and rows, before any of it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.contracts.control_writers import may_say
from shared.contracts.envelope import Encoded, Message, encode
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.contracts.topology import Output as Target
from shared.contracts.topology import TaskSpec
from shared.contracts.trace_context import begun, carried_on
from shared.runtime.partitioning import partition_of
from shared.runtime.step import Append, Cause, ClearTimer, Output, Publish, Raw, SetTimer

Where = tuple[str, int]  # topic and partition


@dataclass(slots=True)
class Prepared:
    """`rows` in the order of the outputs; `sequences`: the last number given in each partition."""

    rows: list[tuple[str, int, Encoded]]
    sequences: dict[Where, int]
    timers: list[SetTimer | ClearTimer]
    buffers: list[Append]


def prepare(
    spec: TaskSpec, cause: Cause, outputs: Sequence[Output], control: int, last_sequence: Callable[[Where], int]
) -> Prepared:
    """Number and encode what a cause led to.

    Raises WrongEvent or NotToBeSaid, KeyError for a topic that the task may not write, ValueError where a head step
    names no cause.
    """
    prepared = Prepared([], {}, [], [])
    for ordinal, output in enumerate(outputs):
        match output:
            case Publish():
                prepared.rows.append(_addressed(spec, cause, output, ordinal, control, prepared, last_sequence))
            case Append():
                prepared.buffers.append(output)
            case _:
                prepared.timers.append(output)
    return prepared


def _addressed(
    spec: TaskSpec, cause: Cause, output: Publish, ordinal: int, control: int, prepared: Prepared,
    last_sequence: Callable[[Where], int],
) -> tuple[str, int, Encoded]:  # fmt: skip
    output.topic.admit(output.event)
    topic = output.topic.name
    if topic == CONTROL.name:
        may_say(spec.service, output.event)
    target = _target(spec, topic)
    partition = spec.partition if target.keeps else partition_of(output.key.encode(), target.partitions)
    where = (topic, partition)
    sequence = (prepared.sequences[where] if where in prepared.sequences else last_sequence(where)) + 1
    prepared.sequences[where] = sequence
    cause_id = _cause_id(cause, output)
    event_id = derived_id(cause_id, f"{topic}:{output.event.ce_type}:{output.name}", output.key, ordinal)
    parent = output.trace or (cause.trace if isinstance(cause, Message) else None)
    message = Message(
        id=event_id, source=spec.id, time_ms=output.time_ms, key=output.key, event=output.event, sequence=sequence,
        control=control, trace=carried_on(parent, event_id) if parent else begun(cause_id, event_id),
    )  # fmt: skip
    return topic, partition, encode(message)


def _cause_id(cause: Cause, output: Publish) -> str:
    if not isinstance(cause, Raw):
        return cause.id
    if not output.first_cause:
        raise ValueError(f"{output.event.ce_type} follows from a user's record: give the record's id as `first_cause`")
    return output.first_cause


def _target(spec: TaskSpec, topic: str) -> Target:
    for target in spec.outputs:
        if target.topic == topic:
            return target
    raise KeyError(f"{spec.id} may not write {topic}: add it to the task's outputs in the topology")
