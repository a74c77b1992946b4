"""The embedded broker keeps everything in memory: above a limit, nothing more is taken over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Refuses = Callable[[], str | None]


def no_limit() -> str | None:
    """For a broker that keeps its logs on disk."""
    return None


def local_memory_guard(pid: int, limit_bytes: int) -> Refuses:
    """Says why no record is taken, while process `pid` holds more than `limit_bytes` of memory; None: it does not."""

    def refuses() -> str | None:
        held = resident_bytes(pid)
        if held <= limit_bytes:
            return None
        return (
            f"the embedded broker keeps everything in memory and holds {held >> 20} MiB, above HEADRACE_LOCAL_MEMORY "
            f"({limit_bytes >> 20} MiB): start with `headrace up --broker kafka`, which keeps its logs on disk, or "
            "raise HEADRACE_LOCAL_MEMORY"
        )

    return refuses


def resident_bytes(pid: int) -> int:
    """Resident memory of a process as Linux counts it; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
