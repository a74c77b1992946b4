"""All services in one world, the console only where it is asked for, without HTTP; and what is done from outside.

Outside are a client, a person and a replay.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from uuid import UUID

import orjson
from pydantic import JsonValue

from deploy.simulation.dying_fits import DyingFits
from deploy.simulation.faults import NO_FAULTS, Faults, Kind, Storm
from deploy.simulation.remembered_fits import RememberedFits
from deploy.simulation.world import World
from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from services.ingestion.app import build as build_ingestion
from services.ingestion.settings import IngestionSettings
from services.monitoring.app import build as build_monitoring
from services.monitoring.settings import MonitoringSettings
from services.registry.app import build as build_registry
from services.registry.settings import RegistrySettings
from services.serving.app import build as build_serving
from services.serving.settings import ServingSettings
from services.training.app import build as build_training
from services.training.fit_worker import Fitter
from shared.contracts.control import ApplyDefinitions, Tick
from shared.contracts.definitions import Clock, FeatureView, Model, Source
from shared.contracts.envelope import Encoded, Event, Headers, Message, encode
from shared.contracts.identity import derived_id
from shared.contracts.platform import Platform
from shared.contracts.topics import CONTROL
from shared.runtime.history import ControlHistory
from shared.runtime.log import TopicPartition
from shared.runtime.service import Service

ROWS_PER_SEGMENT = 100
ENTRIES_BETWEEN_TABLE_COPIES = 25
FEATURES = FeaturesSettings(entries_between_table_copies=ENTRIES_BETWEEN_TABLE_COPIES, table_copies_apart_s=0)
TICK_MS = 10_000
CONTROL_TP = TopicPartition(CONTROL.name, 0)


class NotApplied(AssertionError):
    """The registry did not put the definitions in force."""


def all_services(
    fits: Fitter, new_id: Callable[[], str], rows_per_segment: int = ROWS_PER_SEGMENT
) -> list[Callable[[], Service]]:
    """The composition of each service as its own `build` gives it; `new_id` draws the log's id."""
    return [
        partial(build_registry, RegistrySettings(tick_ms=TICK_MS), new_id),
        partial(build_ingestion, IngestionSettings(rows_per_segment=rows_per_segment)),
        partial(build_features, FEATURES),
        partial(build_serving, ServingSettings()),
        partial(build_monitoring, MonitoringSettings(outcomes_per_segment=rows_per_segment)),
        partial(build_training, lambda: fits),
    ]


def _altered(build: Callable[[], Service], altered: Callable[[Service], Service]) -> Service:
    return altered(build())


class SimulatedPlatform:
    """A world of all services, founded and with its definitions in force. The seed determines everything.

    `further`: services besides the six, such as the console. `altered`: what takes the place of each of the six.
    `storm`: the faults that strike, in place of those that the seed draws. `stormy_steps`: so many steps of the
    scheduler go by, faults included, before the founding is waited for.
    """

    def __init__(
        self,
        seed: int,
        definitions: Sequence[Source | FeatureView | Model],
        fits: RememberedFits,
        faults: Faults = NO_FAULTS,
        further: Sequence[Callable[[], Service]] = (),
        instances: int = 1,
        altered: Callable[[Service], Service] = lambda service: service,
        storm: Storm | None = None,
        rows_per_segment: int = ROWS_PER_SEGMENT,
        stormy_steps: int = 0,
    ) -> None:
        ids = random.Random(f"ids of {seed}")
        new_id = lambda: str(UUID(int=ids.getrandbits(128), version=4))  # noqa: E731
        dying = DyingFits(fits, self._fit_died)
        six = [partial(_altered, build, altered) for build in all_services(dying, new_id, rows_per_segment)]
        self.world = World(seed, [*six, *further], faults, instances, storm, dying.die)
        self._read = ControlHistory()
        self.world.run(stormy_steps)
        self.world.settle()
        self.apply(definitions)

    def _fit_died(self) -> None:
        self.world.struck[Kind.WORKER] += 1

    # --- what was decided

    @property
    def history(self) -> ControlHistory:
        """The control log, read to its end."""
        for record in self.world.broker.history(CONTROL_TP)[self._read.position :]:
            self._read.append(record)
        return self._read

    @property
    def newest(self) -> Platform:
        return self.history.newest

    # --- from outside

    def apply(self, definitions: Sequence[Source | FeatureView | Model], request_id: str = "q1") -> None:
        """Ask for definitions, and wait until they are in force. Raises NotApplied."""
        at = self.newest.definitions_at
        command = ApplyDefinitions(request_id=request_id, based_on=at, definitions=tuple(definitions), by="ann")
        self.say(command, request_id)
        self.world.settle()
        if self.newest.definitions_at == at:
            raise NotApplied(str(self.history.entries[-1].message))

    def say(self, event: Event, cause: str, time_ms: int | None = None, key: str = "") -> None:
        """A command or a tick, from a writer of its own. `cause` tells it apart, by no position of any log."""
        time_ms = self.world.clock.wall_ms() if time_ms is None else time_ms
        event_id = derived_id("headrace/simulation", event.ce_type, cause)
        self.world.publish(CONTROL.name, 0, encode(Message(event_id, "headrace/simulation", time_ms, key, event)))

    def publish(
        self, source: str, record: Mapping[str, JsonValue] | bytes, partition: int, headers: Headers = ()
    ) -> None:
        """A record as a client publishes it: any partition, no key."""
        data = record if isinstance(record, bytes) else orjson.dumps(record)
        topic = self.newest.definitions.sources[source].topic_name
        self.world.publish(topic, partition, Encoded(None, data, headers))

    def tick(self, time_ms: int, adopt: int | None = None) -> None:
        """A tick of all sources of events: behind what their topics hold, and behind `adopt` (default: everything)."""
        sources = [s for s in self.newest.definitions.sources.values() if s.time.clock is Clock.EVENTS]
        ends = {
            source.topic_name: {
                p: len(self.world.broker.history(TopicPartition(source.topic_name, p)))
                for p in range(source.partitions)
            }
            for source in sources
        }
        adopted = self.history.position if adopt is None else adopt
        names = tuple(source.name for source in sources)
        self.say(Tick(clock=Clock.EVENTS, sources=names, ends=ends, adopt=adopted), str(time_ms), time_ms)

    # --- what came of it

    def decided(self) -> Iterable[Message]:
        """The events of control.v1 that count."""
        return (entry.message for entry in self.history.entries if entry.message is not None)


def contents(world: World) -> dict[TopicPartition, list[bytes]]:
    """Every record of every log as bytes: what the same seed repeats."""
    logs: dict[TopicPartition, list[bytes]] = {}
    for topic in sorted(world.broker.admin().topics()):
        for p in range(world.broker.admin().partitions(topic) or 0):
            tp = TopicPartition(topic, p)
            logs[tp] = [repr(record).encode() for record in world.broker.history(tp)]
    return logs
