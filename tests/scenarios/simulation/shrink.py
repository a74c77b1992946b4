"""From a failing plan to a small one that fails in the same way: delta debugging (Zeller and Hildebrandt, 2002).

Instances, what models say beyond their workload, then faults, then what happens from outside are left out, as long as
the same thing breaks. The scheduler draws as before, so what is left happens at the steps at which it happened; an act
that is left out leaves its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tests.scenarios.acts import Act
from tests.scenarios.simulated import Altered, as_it_is
from tests.scenarios.simulation.history import Broken, Told, told
from tests.scenarios.simulation.plan import Plan

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The least that was found, what breaks in it, and how many histories it took to find."""

    plan: Plan
    broken: Broken
    histories: int


class NotBroken(AssertionError):
    """There is nothing to shrink: the plan holds."""

    def __init__(self, seed: int) -> None:
        super().__init__(f"seed {seed} breaks nothing")


def shrunk(plan: Plan, altered: Altered = as_it_is, at_most: int = 400) -> Shrunk:
    """The smallest plan that fails as this one does, found within so many histories. Raises NotBroken."""
    first = told(plan, altered)
    if not first.broken:
        raise NotBroken(plan.seed)
    search = _Search(replace(plan, strikes=first.strikes), first, altered, at_most)
    before = None
    while before != search.best:
        before = search.best
        search.fewer_instances()
        search.leave_out(lambda plan: plan.twists, lambda plan, left: replace(plan, twists=tuple(left)))
        search.leave_out(lambda plan: plan.strikes or (), lambda plan, left: replace(plan, strikes=tuple(left)))
        search.leave_out(lambda plan: plan.acts, lambda plan, left: replace(plan, acts=tuple(left)), _without)
    return Shrunk(search.best, search.broken, search.histories)


class _Search:
    def __init__(self, plan: Plan, first: Told, altered: Altered, at_most: int) -> None:
        self.best, self.broken, self.histories = plan, first.broken[0], 1
        self._altered, self._at_most = altered, at_most

    def _fails(self, plan: Plan) -> bool:
        """Whether the same breaks; then it is the best so far."""
        if self.histories >= self._at_most:
            return False
        self.histories += 1
        found = told(plan, self._altered, only=self.broken.what).broken
        same = [one for one in found if (one.what, one.where) == (self.broken.what, self.broken.where)]
        if same:
            self.best, self.broken = plan, same[0]
        return bool(same)

    def fewer_instances(self) -> None:
        for instances in range(1, self.best.instances):
            if self._fails(replace(self.best, instances=instances)):
                return

    def leave_out(
        self,
        of: Callable[[Plan], Sequence[T]],
        put: Callable[[Plan, Sequence[T]], Plan],
        without: Callable[[Sequence[T], range], Sequence[T]] = lambda items, gone: [
            item for place, item in enumerate(items) if place not in gone
        ],
    ) -> None:
        """Ever smaller pieces, each of them from the end, until no single one can be left out."""
        size = max(1, len(of(self.best)))
        while size:
            for gone in _pieces(len(of(self.best)), size):
                self._fails(put(self.best, without(of(self.best), gone)))
            size //= 2


def _pieces(length: int, size: int) -> Iterator[range]:
    """From the end to the beginning, so that leaving one out moves none of those that follow."""
    for end in range(length, 0, -size):
        yield range(max(0, end - size), end)


def _without(acts: Sequence[Act], gone: range) -> Sequence[Act]:
    """The steps before an act go by all the same; and the last, after which all is at rest, stays."""
    left, steps = list[Act](), 0
    for place, act in enumerate(acts):
        if place in gone and place < len(acts) - 1:
            steps += act.steps
        else:
            left.append(replace(act, steps=act.steps + steps))
            steps = 0
    return left
