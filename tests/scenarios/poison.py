"""Services with a defect: their handlers raise on what is poison, until it comes back from the dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.simulation.platform import SimulatedPlatform
from services.console.letter_replay import REPLAY_OF, NotReplayable, replay_of
from services.monitoring.label_join import DUE
from shared.contracts.envelope import Message
from shared.contracts.flow import LabelObserved
from shared.contracts.identity import split_hash
from shared.contracts.topics import dead_letters
from shared.runtime.log import LogRecord, TopicPartition
from shared.runtime.service import Service
from shared.runtime.step import Cause, Context, Due, Handler, Output, Raw, Step

WRITER = "headrace/console/0"
Picks = Callable[[str, str], bool]  # whether something is poison to a step, by its name
DATA_STEPS = ("intake", "accept", "compute", "score", "key_predictions", "key_labels", "join")


class Poisoned(ValueError):
    """What a defect looks like from outside."""


def some(share: float) -> Picks:
    """This share of everything, at each step another."""
    return lambda step, name: split_hash(step, name) < share


@dataclass
class Defect:
    """`picks`: what the steps raise on. The replayed is taken, as by mended code: a function of the log, so that a
    task's replay repeats it. `mended`: the code is, and takes everything; `lasting`: it raises on the replayed too."""

    picks: Picks
    lasting: bool = False
    mended: bool = False

    def in_service(self, service: Service) -> Service:
        return replace(service, steps=self.in_steps(service.steps))

    def in_steps(self, steps: Mapping[str, Step]) -> dict[str, Step]:
        """Of one service, or of all by `service/step`."""
        return {
            name: self._in_step(step) if name.rpartition("/")[2] in DATA_STEPS else step for name, step in steps.items()
        }

    def _in_step(self, step: Step) -> Step:
        return replace(
            step,
            events={kind: self._guarded(step.name, handler) for kind, handler in step.events.items()},
            timers={name: self._guarded(step.name, h) if name == DUE else h for name, h in step.timers.items()},
            raw=None if step.raw is None else self._guarded(step.name, step.raw),
        )

    def _guarded(self, step: str, handler: Handler) -> Handler:
        def call(state: Any, cause: Any, context: Context) -> tuple[Any, Sequence[Output]]:
            raises = not self.mended and (self.lasting or not _came_back(cause, context))
            if raises and self.picks(step, _named(cause)):
                raise Poisoned(f"{step} cannot take {_named(cause)}")
            return handler(state, cause, context)

        return call


def _came_back(cause: Cause, context: Context) -> bool:
    match cause:
        case Message():
            return cause.replay_for is not None
        case Raw(record=record):
            return any(name == REPLAY_OF for name, _ in record.headers)
        case Due(due_ms=due_ms):
            # One that fires by itself does so when the watermark has passed it.
            return due_ms >= context.watermark_ms


def _named(cause: Cause) -> str:
    match cause:
        case Message(event=LabelObserved(label_id=name)):
            return name
        case Message(event=event):
            return str(getattr(event, "record_id", ""))
        case Raw(record=record):
            return repr(record.value)
        case Due(key=key, name=name):
            return f"{name} of {key}"


@dataclass
class Clerk:
    """Replays letters as the console does, each of them once, or `times` times."""

    platform: SimulatedPlatform
    times: int = 1
    replayed: dict[bytes, str] = field(default_factory=dict[bytes, str])  # letter -> task
    refused: dict[bytes, str] = field(default_factory=dict[bytes, str])  # letter -> why

    def replay_all(self) -> int:
        """Whatever stands there and was not looked at yet; how many were replayed."""
        before = len(self.replayed)
        for letter in standing(self.platform):
            letter_id = dict(letter.headers)["headrace_dead_id"]
            if letter_id not in self.replayed | self.refused:
                self._replay(letter_id, letter)
        return len(self.replayed) - before

    def _replay(self, letter_id: bytes, letter: LogRecord) -> None:
        try:
            replay = replay_of(letter, self.platform.newest.definitions, WRITER)
        except NotReplayable as reason:
            self.refused[letter_id] = str(reason)
            return
        self.replayed[letter_id] = replay.task.id
        for _ in range(self.times):
            self.platform.world.publish(*replay.tp, replay.encoded)


def standing(platform: SimulatedPlatform) -> list[LogRecord]:
    """Every dead letter, the first copy of each."""
    found: dict[bytes, LogRecord] = {}
    services = {task.service for task in platform.newest.definitions.tasks}
    for service in sorted(services):
        for record in platform.world.broker.history(TopicPartition(dead_letters(service), 0)):
            found.setdefault(dict(record.headers)["headrace_dead_id"], record)
    return list(found.values())
