"""Many histories, in as many processes as are asked for. Each depends on its seed alone, not on who plays it."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import structlog

from tests.scenarios.simulation.history import Told, told
from tests.scenarios.simulation.plan import plan_of

RENEWED_AFTER = 1_000  # histories: what is remembered of fits and models goes with the process


@contextmanager
def histories(seeds: Sequence[int], jobs: int) -> Generator[Iterator[tuple[int, Told]]]:
    """What came of each seed, as it comes."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, _begin, maxtasksperchild=RENEWED_AFTER) as pool:
        yield pool.imap_unordered(_history, seeds)


def begin_quietly() -> None:
    """The services say much; and what they leave behind need not be collected every moment."""
    gc.set_threshold(100_000, 50, 100)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the parent
    begin_quietly()


def _history(seed: int) -> tuple[int, Told]:
    return seed, told(plan_of(seed))
