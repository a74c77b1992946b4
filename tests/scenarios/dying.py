"""Simulated processes die at the named points at which real ones do, and are started again as after a crash."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from deploy.simulation.virtual_time import Jobs
from deploy.simulation.world import World
from tests.chaos.crash_points import Point, install


class Died(BaseException):
    """Nothing that runs in the process may go on, nor hide it."""


@contextmanager
def dying(point: Point, nth: int) -> Generator[list[str]]:
    """Within, whoever meets the point for the `nth` time with work in hand dies of it: once. Yields what it had."""
    met: list[str] = []
    alive = True

    def die(in_hand: str) -> None:
        met.append(in_hand)
        raise Died

    def mortal(turn: Callable[..., None]) -> Callable[..., None]:
        def wrapped(world: World, name: str, *given: Any) -> None:
            nonlocal alive
            try:
                turn(world, name, *given)
            except Died:
                alive = False
                world.crash(name, point)

        return wrapped

    def at_once(run: Callable[..., None]) -> Callable[..., None]:
        """A job's end is told by its future, which would be looked at later."""

        def wrapped(jobs: Jobs, *given: Any) -> None:
            run(jobs, *given)
            if met and alive:
                raise Died

        return wrapped

    with ExitStack() as undo:
        undo.callback(install(point, nth, die))
        for owner, name, wrap in (
            (World, "turn", mortal), (World, "_part_of_turn", mortal), (Jobs, "run", at_once),
        ):  # fmt: skip
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, wrap(getattr(owner, name)))
        yield met
