"""Where an instance of a service runs in the simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from deploy.simulation.crash_points import Fuse
from deploy.simulation.faults import Strike
from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.memory_group import MemoryGroup
from deploy.simulation.virtual_time import JumpingClock
from shared.runtime.service import Service


@dataclass(slots=True)
class Place:
    """A machine where one instance runs: its disk, its clock and its group outlive its processes.

    `image`: the disk as it once was. `kill`: what happens once the fuse has burnt down.
    """

    make: Callable[[], Service]
    instance: str
    group: MemoryGroup
    clock: JumpingClock
    fuse: Fuse = field(default_factory=Fuse)
    files: MemoryFiles = field(init=False)
    image: Mapping[str, bytes] | None = None
    kill: Strike | None = None
    release: int = 1

    def __post_init__(self) -> None:
        self.files = MemoryFiles(self.fuse)
