"""One history: a plan is played, and everything that must hold is checked."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from deploy.simulation.faults import DrawnStorm, ListedStorm, Strike
from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.world import DoesNotSettle
from shared.runtime.service import Service
from tests.scenarios.acts import play
from tests.scenarios.invariants import INVARIANTS, check
from tests.scenarios.poison import Defect, some
from tests.scenarios.replayed_tasks import steps_of_all
from tests.scenarios.simulated import FITS
from tests.scenarios.simulation.plan import POISONED, Plan
from tests.scenarios.topic_history import TopicHistory

Altered = Callable[[Service], Service]
ROWS_PER_SEGMENT = 20
DOES_NOT_SETTLE, RAISES = "does not settle", "raises"


@dataclass(frozen=True, slots=True)
class Broken:
    """What does not hold: an invariant by its number, or that the platform comes to rest, or that nothing raises."""

    what: str
    text: str

    @property
    def where(self) -> str:
        """Of what it is told: a task, a log, a model; without partitions and other numbers."""
        return re.sub(r"\d", "", self.text.partition(" ")[0])

    def __str__(self) -> str:
        return f"{self.what}: {self.text}"


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a history. `strikes`: a plan with exactly these gives the same history."""

    broken: tuple[Broken, ...]
    strikes: tuple[Strike, ...]
    struck: Mapping[str, int] = field(default_factory=Counter[str])
    records: int = 0
    played_s: float = 0.0
    checked_s: float = 0.0


def as_it_is(service: Service) -> Service:
    """A service as its own `build` gives it."""
    return service


def told(plan: Plan, altered: Altered = as_it_is, *, only: str = "") -> Told:
    """Play a plan and check what came of it. `only`: nothing but this, by `Broken.what`. CPU times.

    `altered`: what takes the place of each service; the replays of the checker keep to the services as they are.
    """
    defect = Defect(some(POISONED)) if plan.mix.poisoned else None
    storm = DrawnStorm(plan.seed, plan.faults) if plan.strikes is None else ListedStorm(plan.strikes)
    struck: Counter[str] = Counter()
    records, began_s, played_s = 0, time.process_time(), 0.0
    try:
        platform = SimulatedPlatform(
            plan.seed, plan.definitions, FITS, plan.faults, instances=plan.instances, storm=storm,
            altered=lambda service: altered(service if defect is None else defect.in_service(service)),
            rows_per_segment=ROWS_PER_SEGMENT, stormy_steps=plan.opening_steps,
        )  # fmt: skip
        struck = platform.world.struck
        play(platform, plan.acts)
        played_s = time.process_time() - began_s
        history = TopicHistory.of_memory(platform.world.broker)
        records = sum(map(len, history.logs.values()))
        broken = tuple(_broken(platform, history, defect, only))
    except DoesNotSettle as moves:
        broken = (Broken(DOES_NOT_SETTLE, str(moves)),)
    except Exception as error:  # noqa: BLE001  whatever a service raises is a finding
        broken = (Broken(f"{RAISES} {type(error).__name__}", str(error)),)
    strikes = tuple(storm.drawn) if isinstance(storm, DrawnStorm) else plan.strikes or ()
    struck = Counter({str(what): times for what, times in struck.items()})
    return Told(broken, strikes, struck, records, played_s, time.process_time() - began_s - played_s)


def _broken(platform: SimulatedPlatform, history: TopicHistory, defect: Defect | None, only: str) -> list[Broken]:
    world, numbers = platform.world, INVARIANTS.keys()
    if only:
        numbers = [number for number in INVARIANTS if only == invariant(number)]
    files = {task_id: task.file for p in world.processes.values() for task_id, task in p.tasks.items()}
    own = steps_of_all(history, world.artifacts)
    steps = own if defect is None else lambda: defect.in_steps(own())
    found = check(history, world.artifacts, files, steps=steps, numbers=numbers)
    return [Broken(invariant(violation.number), violation.text) for violation in found]


def invariant(number: int) -> str:
    """What `Broken.what` says of one."""
    return f"invariant {number}"


def with_strikes(plan: Plan, altered: Altered = as_it_is) -> Plan:
    """The same plan with the faults that its seed draws written down."""
    return replace(plan, strikes=told(plan, altered).strikes)
