"""What a seed stands for: a workload, how many instances, what happens from outside, and how often faults strike."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TypeVar

from deploy.simulation.faults import ALL_FAULTS, Faults, Strike
from deploy.simulation.platform import SimulatedPlatform
from shared.contracts import control as c
from shared.contracts.definitions import Clock, FeatureView, Model, Source
from tests.scenarios import acts as by_events
from tests.scenarios import by_the_wall, entity_workload, workload
from tests.scenarios.acts import Act, Call, Release, settling
from tests.scenarios.poison import Clerk
from tests.scenarios.simulation.twists import Twist, twisted, twists_of

T = TypeVar("T")
Definitions = Sequence[Source | FeatureView | Model]
POISONED = 0.03


class Mix(StrEnum):
    """The workloads."""

    PLAIN = "one view"
    ENTITIES = "views by several entities"
    LATER = "views by several entities, of which some come later"
    POISON = "one view, with records that a defect cannot take, replayed later"
    POISON_ON_THE_WAY = "views by several entities, with records that a defect cannot take, replayed later"

    @property
    def several(self) -> bool:
        """Whether there are several entities."""
        return self not in (Mix.PLAIN, Mix.POISON)

    @property
    def poisoned(self) -> bool:
        return self in (Mix.POISON, Mix.POISON_ON_THE_WAY)


def _ask_for_a_run(platform: SimulatedPlatform) -> None:
    platform.say(c.RetrainModel(model=workload.MODEL, by="ann", request_id="run"), "run")


def _promote_the_newest(platform: SimulatedPlatform) -> None:
    newest = max(platform.newest.model(workload.MODEL).versions, default=1)
    request_id = f"promote at {platform.history.position}"
    platform.say(c.PromoteVersion(model=workload.MODEL, version=newest, by="ann", request_id=request_id), request_id)


def _roll_back(platform: SimulatedPlatform) -> None:
    platform.say(c.RollBackModel(model=workload.MODEL, by="ann", request_id="back"), "back")


PROMOTE = Call("somebody lets the newest version answer", _promote_the_newest)
RUN = Call("somebody asks for a run", _ask_for_a_run)
BACK = Call("somebody asks for the version before", _roll_back)


@dataclass(frozen=True, slots=True)
class Rest:
    """After this share of a history what is on its way comes to rest; and with a chance somebody asks for something."""

    share: float
    asked: Call | None = None
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Length:
    """`blocks` of `size` records each; a first fit once there are `minimum_rows` labelled ones, of `window` at most.

    `turns`: after which share of it what was good is bad.
    """

    blocks: range
    size: int
    minimum_rows: int = 100_000
    window: int = 100_000
    turns: float = 0.4
    rests: tuple[Rest, ...] = ()


# A gate compares on at least 30 rows that were held back, a quarter of a window. The first version of MEDIUM has fewer:
# somebody lets it answer, the meaning turns round, and a run on what came since gives one that wins its rollout.
SHORT, EARLY = Length(range(2, 6), 6), Length(range(7, 9), 12, 50, 60, rests=(Rest(0.45), Rest(0.8, PROMOTE, 0.7)))
MEDIUM = Length(
    range(23, 26), 12, 50, 130, 0.25,
    (
        Rest(0.31), Rest(0.34, PROMOTE), Rest(0.66), Rest(0.70, RUN), Rest(0.77), Rest(0.84), Rest(0.9, PROMOTE, 0.2),
        Rest(0.97, BACK, 0.4),
    ),
)  # fmt: skip
# Here the first version passes its gate, and turns bad.
LONG = Length(range(25, 28), 12, 120, 140, 0.5, (Rest(0.55), Rest(0.85, RUN, 0.7), Rest(0.95, PROMOTE, 0.5)))
MIXES = {Mix.PLAIN: 30, Mix.ENTITIES: 10, Mix.LATER: 20, Mix.POISON: 25, Mix.POISON_ON_THE_WAY: 15}
LENGTHS = {SHORT: 84, EARLY: 4, MEDIUM: 10, LONG: 2}
INSTANCES = {1: 40, 2: 40, 3: 20}
CLOCKS = {Clock.EVENTS: 70, Clock.WALL: 30}
RELEASED = {None: 80, "features": 8, "serving": 6, "monitoring": 6}  # which service has its next release half-way
# Steps of the scheduler between two records, at most, and before all comes to rest: a record on its way from its topic
# to its outcome takes some hundreds.
GAPS = {40: 30, 80: 45, 200: 25}
STORMY = range(150, 700)
WEATHER = {0.3: 20, 1.0: 50, 3.0: 30}  # how much more often than usual faults strike


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a history depends on. `strikes`: exactly these faults, in place of those that the seed draws.

    `twists`: of the models in force from the beginning.
    """

    seed: int
    mix: Mix
    instances: int
    faults: Faults
    length: Length
    clock: Clock
    opening_steps: int
    acts: tuple[Act, ...]
    twists: tuple[Twist, ...] = ()
    strikes: tuple[Strike, ...] | None = None

    @property
    def definitions(self) -> Definitions:
        """What is in force from the beginning."""
        training = {
            "search": {"families": ["linear"], "trials": 1},
            "minimum_rows": self.length.minimum_rows,
            "window": self.length.window,
        }
        declared = {
            Mix.PLAIN: workload.definitions, Mix.POISON: workload.definitions, Mix.LATER: entity_workload.first_half,
        }.get(self.mix, entity_workload.definitions)()  # fmt: skip
        fitted = [
            Model.written({**one.model_dump(mode="json"), "training": training})
            if isinstance(one, Model) and one.name == workload.MODEL
            else one
            for one in twisted(declared, self.twists)
        ]
        return fitted if self.clock is Clock.EVENTS else [by_the_wall.defined(one) for one in fitted]

    @property
    def released(self) -> Sequence[str]:
        """The services of which there is a second release."""
        return [act.what.service for act in self.acts if isinstance(act.what, Release)]


def plan_of(seed: int) -> Plan:
    """The plan that a seed stands for."""
    draw = random.Random(f"plan of {seed}")
    mix, length, instances = _one_of(draw, MIXES), _one_of(draw, LENGTHS), _one_of(draw, INSTANCES)
    gap, weather = _one_of(draw, GAPS), _one_of(draw, WEATHER)
    if length is not SHORT:
        gap //= 3  # more is on its way at once
    opening_steps, further = draw.randrange(0, 120), random.Random(f"clock and releases of {seed}")
    clock, released = _one_of(further, CLOCKS), _one_of(further, RELEASED)
    acts = _acts(seed, draw, mix, length, gap, clock)
    if released is not None:
        acts.insert(further.randrange(len(acts) // 2), Act(further.randrange(gap), Release(released)))
    heavier, twists = _heavier(ALL_FAULTS, weather), twists_of(seed)
    return Plan(seed, mix, instances, heavier, length, clock, opening_steps, tuple(acts), twists)


def _one_of(draw: random.Random, shares: dict[T, int]) -> T:
    [one] = draw.choices(list(shares), list(shares.values()))
    return one


def _heavier(faults: Faults, times: float) -> Faults:
    """Of those that strike by the step. The shares of lost disks and of sends stay."""
    by_step = (
        "crash", "crash_within", "drop", "freeze", "fill_disk", "store", "broker", "slow", "worker", "clock",
    )  # fmt: skip
    assert {*by_step} <= {field.name for field in fields(Faults)}
    heavier = replace(faults, **{name: getattr(faults, name) * times for name in by_step})
    return replace(heavier, worker=heavier.worker / 40)  # whatever fits next dies: not most of what fits


def _acts(seed: int, draw: random.Random, mix: Mix, length: Length, gap: int, clock: Clock) -> list[Act]:
    time = by_events if clock is Clock.EVENTS else by_the_wall
    made = entity_workload.blocks if mix.several else workload.blocks
    blocks = made(seed, draw.choice(length.blocks), length.size, careless=True, turns=length.turns)
    blocks = blocks if clock is Clock.EVENTS else by_the_wall.dated(blocks)
    later = entity_workload.later() if mix is Mix.LATER else ()
    acts = list(time.of_blocks(blocks, draw, gap, later))
    _insert_rests(acts, length.rests, random.Random(f"rests of {seed}"))
    if mix.poisoned:
        for place in sorted(draw.sample(range(len(acts) + 1), 2), reverse=True):
            acts.insert(place, Act(draw.randrange(gap), REPLAY))
        # What raises in one log raises in the next as well: once for each of them.
        acts += [act for _ in range(3) for act in (settling(draw, STORMY), Act(0, REPLAY))]
    return [*acts, settling(draw, STORMY), *time.at_the_end(blocks[-1].end_ms, draw, STORMY)]


def _insert_rests(acts: list[Act], rests: Sequence[Rest], draw: random.Random) -> None:
    """Where a model is fitted: so that more comes behind its versions."""
    last = len(acts)
    for rest in reversed(rests):
        place = int(last * rest.share)
        if rest.asked is not None and draw.random() < rest.chance:
            acts.insert(place, Act(draw.randrange(20), rest.asked))
        acts.insert(place, settling(draw))


def _replay_letters(platform: SimulatedPlatform) -> None:
    Clerk(platform, times=2).replay_all()


REPLAY = Call("whatever lies in the dead letters is replayed, twice", _replay_letters)
