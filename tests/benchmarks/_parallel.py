"""Independent pieces of a simulation on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import Any, TypeVar

Found = TypeVar("Found")


def in_parallel(piece: Callable[..., Found], arguments: Sequence[tuple[Any, ...]]) -> list[Found]:
    """What each call returns, in their order; the pieces bring their own seeds, so it does not hang on the cores."""
    # Small enough that no core waits long for the last.
    chunk = max(1, len(arguments) // (64 * (os.cpu_count() or 1)))
    return list(_pool().map(piece, *zip(*arguments, strict=True), chunksize=chunk))


@cache
def _pool() -> ProcessPoolExecutor:
    """One for all parts: what a process has to import first takes seconds."""
    return ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))
