"""What a process says of itself to whoever looks for faults: its clock, its disk, and the code that it runs."""

from __future__ import annotations

import hashlib
import platform
import shutil
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel

_ROOT = Path(__file__).parents[2]


class Disk(BaseModel):
    """The disk on which the files of the tasks lie."""

    folder: str
    free_bytes: int
    total_bytes: int


class Code(BaseModel):
    """What derives events, by sha256 of the sources and by versions: equal code derives equal events."""

    python: str
    shared: str
    service: str
    packages: dict[str, str]


class About(BaseModel):
    """`GET /about`. `now_ms` is the machine's wall clock; `code` as it was when the process started.

    `release`: of the service's code, see ReleaseDeclared.
    """

    service: str
    instance: str
    now_ms: int
    copy_every_s: float
    disk: Disk
    code: Code
    release: int = 1  # an earlier version of Headrace does not say it


def code_of(service: str) -> Code:
    """The code of a service as it lies on the disk now."""
    return Code(
        python=platform.python_version(),
        shared=_sources(_ROOT / "shared"),
        service=_sources(_ROOT / "services" / service),
        packages={package.name.lower(): package.version for package in metadata.distributions()},
    )


def about_of(service: str, instance: str, copy_every_s: float, folder: Path, release: int = 1) -> Callable[[], About]:
    """What says it whenever it is asked; the code is looked at once, now."""
    code = code_of(service)
    return lambda: About(
        service=service, instance=instance, now_ms=time.time_ns() // 1_000_000, copy_every_s=copy_every_s,
        disk=disk_of(folder), code=code, release=release,
    )  # fmt: skip


def disk_of(folder: Path) -> Disk:
    """The disk that a folder lies on, which may not be there yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(there)
    return Disk(folder=str(folder), free_bytes=usage.free, total_bytes=usage.total)


def _sources(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(f"{path.relative_to(folder)}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()
