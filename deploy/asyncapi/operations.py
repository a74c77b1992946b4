"""Operations: which service sends and receives what, from its steps, its followers and the topology."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.asyncapi.channels import SAMPLE, Channel, channel_of
from deploy.asyncapi.messages import MARK, message_name
from deploy.simulation.platform import all_services
from deploy.simulation.remembered_fits import RememberedFits
from deploy.simulation.world import World
from services.console.app import build as build_console
from shared.contracts.control_writers import CONTROL_WRITERS
from shared.contracts.flow import EventBuried, TimerReplayed
from shared.contracts.platform import Platform
from shared.contracts.topics import CONTROL, dead_letters
from shared.contracts.topology import Output, TaskSpec
from shared.runtime.process import Process
from shared.runtime.step import Step

SEND, RECEIVE, CONSOLE = "send", "receive", "console"


@dataclass(frozen=True, slots=True)
class Use:
    """A service sends messages of a channel, or receives them; `why` says who in it."""

    service: str
    action: str
    channel: Channel
    messages: tuple[str, ...]
    why: str


def operations() -> dict[str, dict[str, Any]]:
    """Every operation by its key; what several parts of a service do with a channel is one."""
    together: dict[tuple[str, str, str], list[Use]] = {}
    for use in _uses():
        together.setdefault((use.service, use.action, use.channel.key), []).append(use)
    return {
        f"{service}_{action}s_{channel}": _operation(uses)
        for (service, action, channel), uses in sorted(together.items())
    }


def _operation(uses: list[Use]) -> dict[str, Any]:
    channel = uses[0].channel
    used = [key for key in channel.messages if any(key in use.messages for use in uses)]
    operation: dict[str, Any] = {
        "action": uses[0].action,
        "channel": {"$ref": f"#/channels/{channel.key}"},
        "summary": "; ".join(dict.fromkeys(use.why for use in uses)),
        "tags": [{"name": uses[0].service}],
    }
    # Without a list they are all that may stand in the channel.
    if len(used) < len(channel.messages):
        operation["messages"] = [{"$ref": f"#/channels/{channel.key}/messages/{key}"} for key in used]
    return operation


def _uses() -> Iterator[Use]:
    world = World(0, [*all_services(RememberedFits(), lambda: ""), build_console])
    for task in SAMPLE.tasks:
        yield from _of_task(task, world.processes[task.service])
    for process in world.processes.values():
        yield from _of_followers(process)
        control = channel_of(CONTROL.name)
        yield Use(process.service.name, RECEIVE, control, control.messages, "every service follows what is decided")
    control = channel_of(CONTROL.name)
    for service, events in CONTROL_WRITERS.items():
        keys = tuple(message_name(event) for event in events)
        yield Use(service, SEND, control, keys, "what it decides, does or is asked for")


def _of_task(task: TaskSpec, process: Process) -> Iterator[Use]:
    why, service = f"step {task.step}", task.service
    channel, step = channel_of(task.topic), process.service.steps[task.step]
    if not task.decides:
        replayed = (*(message_name(event) for event in step.events), *_timers(step)) or channel.messages
        yield Use(CONSOLE, SEND, channel, replayed, "dead letters that are replayed")
    if task.head:
        yield Use(service, RECEIVE, channel, channel.messages, why)
        yield Use(service, SEND, channel, channel.messages, "records that come over HTTP")
    else:
        keys = (*(message_name(event) for event in step.events), *_timers(step), MARK)
        yield Use(service, RECEIVE, channel, keys, why)
    for output in task.outputs:
        yield from _of_output(task, output, why)
    letters = channel_of(dead_letters(service))
    yield Use(service, SEND, letters, letters.messages, "what a handler could not take")


def _timers(step: Step) -> tuple[str, ...]:
    return (message_name(TimerReplayed),) if step.timers else ()


def _of_output(task: TaskSpec, output: Output, why: str) -> Iterator[Use]:
    channel = channel_of(output.topic)
    # What else a service may say in control.v1 is told by CONTROL_WRITERS.
    keys = (message_name(EventBuried),) if output.topic == CONTROL.name else channel.messages
    yield Use(task.service, SEND, channel, tuple(key for key in keys if key != message_name(TimerReplayed)), why)


def _of_followers(process: Process) -> Iterator[Use]:
    platform = Platform(definitions=SAMPLE)
    for follower in (*process.followers, *process.raw_followers):
        for topic in sorted(follower.topics(platform)):
            channel = channel_of(topic)
            yield Use(process.service.name, RECEIVE, channel, channel.messages, f"follower {type(follower).__name__}")
