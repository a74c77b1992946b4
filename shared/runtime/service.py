"""What a service is, without a driver: its steps, its workers, the logs that it follows besides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from shared.contracts.envelope import Mark, Message
from shared.contracts.platform import Platform, TableCopy
from shared.runtime.log import LogRecord, TopicPartition
from shared.runtime.step import Step
from shared.runtime.table_copies import Rows

if TYPE_CHECKING:
    from shared.runtime.process import Process

Result = TypeVar("Result")


class Worker(Protocol):
    """Does effects beside the handlers: asked for by what the logs say, answered by an event."""

    def turn(self) -> None:
        """Start what is wanted and not yet done, collect what is done. Called on the driver's thread; never blocks."""
        ...

    @property
    def doing(self) -> Sequence[str]:
        """What is in work or wanted, in words; empty: nothing can come of this worker without new input."""
        ...

    def close(self) -> None:
        """Stop, and give back threads and processes."""
        ...


class Follower(Protocol):
    """Follows logs that the service reads without deriving anything from them, such as tables."""

    def topics(self, platform: Platform) -> Iterable[str]:
        """Which topics to follow, all partitions, from their beginning."""
        ...

    def on_message(self, tp: TopicPartition, message: Message) -> None:
        """An event that readers accept, in the order of its log."""
        ...

    def on_mark(self, tp: TopicPartition, mark: Mark) -> None:
        """A mark, as it stands in the log."""
        ...


@runtime_checkable
class TableReader(Follower, Protocol):
    """Follows tables: the newest row of each key counts, so a copy of the rows may stand for the log's beginning."""

    def reads(self, tp: TopicPartition) -> bool:
        """Whether this is a log of a table."""
        ...

    def copies(self, tp: TopicPartition, platform: Platform) -> Sequence[TableCopy]:
        """The copies of a log's rows, in the order of their positions."""
        ...

    def begin(self, tp: TopicPartition, rows: Rows) -> None:
        """Hold these rows of a log, and no others; what is heard next comes behind them."""
        ...


class RawFollower(Protocol):
    """Follows logs whose entries may be anything, such as users' topics and dead letters."""

    def topics(self, platform: Platform) -> Iterable[str]:
        """Which topics to follow, all partitions, from their beginning."""
        ...

    def on_record(self, record: LogRecord) -> None:
        """A record as it stands in the log."""
        ...


class Executor(Protocol):
    """Runs blocking work elsewhere: a thread pool, or the simulation's scheduler."""

    def submit(self, fn: Callable[..., Result], /, *args: Any) -> Future[Result]: ...


class WakingExecutor:
    """Another executor, which calls `wake` when a result is there."""

    def __init__(self, executor: Executor, wake: Callable[[], None]) -> None:
        self._executor, self._wake = executor, wake

    def submit(self, fn: Callable[..., Result], /, *args: Any) -> Future[Result]:
        future = self._executor.submit(fn, *args)
        future.add_done_callback(lambda _: self._wake())
        return future


@dataclass(frozen=True)
class Service:
    """The composition of one service: everything the drivers need to run it.

    `release` goes up by one whenever a step derives other events from the same input than the code before did.
    """

    name: str
    steps: Mapping[str, Step] = field(default_factory=dict[str, Step])
    workers: Sequence[Callable[[Process], Worker]] = ()
    followers: Sequence[Callable[[Process], Follower]] = ()
    raw_followers: Sequence[Callable[[Process], RawFollower]] = ()
    release: int = 1
