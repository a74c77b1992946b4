"""Virtual time, and blocking work that runs when the scheduler says so."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from deploy.simulation.crash_points import Killed

Result = TypeVar("Result")
EPOCH_MS = 1_700_000_000_000


class VirtualClock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.elapsed_ms = 0

    def now_s(self) -> float:
        return self.elapsed_ms / 1000

    def wall_ms(self) -> int:
        return EPOCH_MS + self.elapsed_ms

    def pass_ms(self, ms: int) -> None:
        self.elapsed_ms += ms


class JumpingClock:
    """One machine's clock: what is measured goes on evenly, and the time of day jumps when it is told to."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._ahead_ms = 0
        self._jumped: Callable[[], None] | None = None

    def now_s(self) -> float:
        return self._clock.now_s()

    def wall_ms(self) -> int:
        if self._jumped is not None:
            told, self._jumped = self._jumped, None
            told()
        return self._clock.wall_ms() + self._ahead_ms

    def jump_ms(self, ms: int, told: Callable[[], None]) -> None:
        """Forward, or back. `told` is called when it is next looked at."""
        self._ahead_ms += ms
        self._jumped = told


class Jobs:
    """Work that processes have handed away: it is done, late or never, as the scheduler chooses."""

    _thread = ThreadPoolExecutor(max_workers=1)  # one job at a time, and each is waited for

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Result], /, *args: Any) -> Future[Result]:
        """Queue work."""
        future: Future[Result] = Future()
        self._waiting.append((future, lambda: fn(*args)))
        return future

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def run(self, number: int = 0) -> None:
        """Do one piece of the waiting work, unless it was given up. Raises Killed."""
        future, work = self._waiting.pop(number)
        if not future.set_running_or_notify_cancel():
            return
        done = self._thread.submit(work)
        error = done.exception()
        if isinstance(error, Killed):
            raise error
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result())
