"""One history: a plan is played, and everything that must hold is checked."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from deploy.simulation.faults import DrawnStorm, ListedStorm, Strike
from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.world import DoesNotSettle
from shared.contracts import control as c
from shared.contracts.definitions import Clock
from shared.contracts.flow import LabelStatus, OutcomeMatured
from shared.contracts.topics import OUTCOMES
from shared.runtime.step import Step
from tests.scenarios.acts import play
from tests.scenarios.invariants import INVARIANTS, check
from tests.scenarios.later_release import with_later_release
from tests.scenarios.poison import Defect, some
from tests.scenarios.replayed_tasks import steps_of_all
from tests.scenarios.simulated import FITS, Altered, as_it_is
from tests.scenarios.simulation.plan import POISONED, Plan
from tests.scenarios.simulation.twists import Twist
from tests.scenarios.tables import replicas_hold_their_logs
from tests.scenarios.topic_history import TopicHistory

ROWS_PER_SEGMENT = 20
DOES_NOT_SETTLE, RAISES, REPLICAS = "does not settle", "raises", "a replica of a table is what its log says"


class Reached(StrEnum):
    """How far a history gets through the loop: without these, what must hold of decisions says nothing."""

    VERSION = "a version"
    ROLLOUT = "a rollout"
    PROMOTION = "a promotion by a rollout"
    ROLL_BACK = "a roll-back"
    SECOND_RUN = "a second run of a model"
    WALL = "sources by the wall clock"
    RELEASE = "a later release at work"
    ABSENT = "a missing label that means something"
    BY_ENTITY = "a share of entities"
    EVERY = "a version of the fits after so many outcomes"
    REGRESSION = "a version of a regression"
    ON_REQUEST = "a model that answers requests only"


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
    reached: frozenset[Reached] = frozenset()
    records: int = 0
    played_s: float = 0.0
    checked_s: float = 0.0


def told(plan: Plan, altered: Altered = as_it_is, *, only: str = "") -> Told:
    """Play a plan and check what came of it. `only`: nothing but this, by `Broken.what`. CPU times.

    `altered`: what takes the place of each service; the replays of the checker keep to the services as they are.
    """
    defect = Defect(some(POISONED)) if plan.mix.poisoned else None
    storm = DrawnStorm(plan.seed, plan.faults) if plan.strikes is None else ListedStorm(plan.strikes)
    struck: Counter[str] = Counter()
    reached: frozenset[Reached] = frozenset()
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
        records, reached = sum(map(len, history.logs.values())), frozenset(_reached(plan, platform, history))
        broken = tuple(_broken(plan, platform, history, defect, only))
    except DoesNotSettle as moves:
        broken = (Broken(DOES_NOT_SETTLE, str(moves)),)
    except Exception as error:  # noqa: BLE001  whatever a service raises is a finding
        broken = (Broken(f"{RAISES} {type(error).__name__}", str(error)),)
    strikes = tuple(storm.drawn) if isinstance(storm, DrawnStorm) else plan.strikes or ()
    struck = Counter({str(what): times for what, times in struck.items()})
    return Told(broken, strikes, struck, reached, records, played_s, time.process_time() - began_s - played_s)


def _broken(
    plan: Plan, platform: SimulatedPlatform, history: TopicHistory, defect: Defect | None, only: str
) -> Iterator[Broken]:
    artifacts, numbers = platform.world.artifacts, list(INVARIANTS)
    if only:
        numbers = [number for number in INVARIANTS if only == invariant(number)]
    own = steps_of_all(history, artifacts)

    def steps() -> Mapping[str, Step]:
        """As they ran: with the defect, and as each release has them."""
        made = own() if defect is None else defect.in_steps(own())
        for service in plan.released:
            made = with_later_release(made, service)
        return made

    found = check(history, artifacts, platform.world.files, steps=steps, numbers=numbers) if numbers else ()
    yield from (Broken(invariant(violation.number), violation.text) for violation in found)
    if only in ("", REPLICAS):
        yield from (Broken(REPLICAS, text) for text in replicas_hold_their_logs(platform, history))


def _reached(plan: Plan, platform: SimulatedPlatform, history: TopicHistory) -> Iterator[Reached]:
    kinds = {
        Reached.VERSION: c.VersionRegistered, Reached.ROLLOUT: c.RolloutStarted, Reached.ROLL_BACK: c.ModelRolledBack,
    }  # fmt: skip
    yield from (what for what, kind in kinds.items() if any(history.decided(kind)))
    if any(promoted.rollout_id is not None for _, promoted in history.decided(c.VersionPromoted)):
        yield Reached.PROMOTION
    if max(Counter(run.model for _, run in history.decided(c.RunRequested)).values(), default=0) > 1:
        yield Reached.SECOND_RUN
    if plan.clock is Clock.WALL:
        yield Reached.WALL
    if any("@" in name and process.tasks for name, process in platform.world.processes.items()):
        yield Reached.RELEASE
    yield from _reached_by_twists(plan, history)


def _reached_by_twists(plan: Plan, history: TopicHistory) -> Iterator[Reached]:
    """Where what a model says beyond the workload came into play."""
    models = history.definitions.models.values()
    matured = (event for one in models for _, event in history.events(OUTCOMES.of(one.name).name, OutcomeMatured))
    came_into_play = {
        Reached.ABSENT: any(event.status is LabelStatus.ABSENT for event in matured),
        Reached.BY_ENTITY: Twist.BY_ENTITY in plan.twists
        and any(event.share > 0 for _, event in history.decided(c.RolloutAdvanced)),
        Reached.EVERY: any(event.by == "every" for _, event in history.decided(c.VersionPromoted)),
        Reached.REGRESSION: Twist.REGRESSION in plan.twists and any(history.decided(c.VersionRegistered)),
        Reached.ON_REQUEST: any(one.mode == "request" for one in models),
    }
    yield from (what for what, holds in came_into_play.items() if holds)


def invariant(number: int) -> str:
    """What `Broken.what` says of one."""
    return f"invariant {number}"


def with_strikes(plan: Plan, altered: Altered = as_it_is) -> Plan:
    """The same plan with the faults that its seed draws written down."""
    return replace(plan, strikes=told(plan, altered).strikes)
