"""Which instance of a service owns which task: the same answer wherever it is worked out, from who is there.

Ownership only saves work. Two owners of one task say the same, and readers skip what they have heard; so an instance
that is thought dead and wakes up does no harm until it learns better.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from shared.contracts.topology import Definitions, TaskSpec

MEMBERSHIP = "its place among the instances of its service"  # what may wait for room on a disk


@dataclass(frozen=True, slots=True)
class Members:
    """The instances of a service that are there; `id` names this membership. `before`: those of the one before."""

    id: str
    names: tuple[str, ...]
    before: tuple[str, ...] = ()

    def owner(self, spec: TaskSpec, definitions: Definitions) -> str:
        """Whose task it is."""
        return owners(spec.topic, definitions.partitions[spec.topic], self.names)[spec.partition]

    def former_owner(self, spec: TaskSpec, definitions: Definitions) -> str | None:
        """Whose task it was, if that instance is still there."""
        if not self.before:
            return None
        former = owners(spec.topic, definitions.partitions[spec.topic], self.before)[spec.partition]
        return former if former in self.names else None


class Membership(Protocol):
    """How an instance knows the others. Belongs to the driver's thread."""

    def members(self) -> Members | None:
        """Who is there, as far as this instance has learnt; None while it has not joined. Raises BrokerAway, DiskFull.

        Blocks for a second at most.
        """
        ...

    def leave(self) -> None:
        """Say good-bye, so that the others take over at once."""
        ...


class Alone:
    """The one instance of its service: everything is its own."""

    def __init__(self, instance: str) -> None:
        self._members = Members("alone", (instance,))

    def members(self) -> Members:
        """Nobody else, ever."""
        return self._members

    def leave(self) -> None:
        """There is nobody to tell."""


@lru_cache(maxsize=4096)
def owners(topic: str, partitions: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """The owner of each partition of a topic: rendezvous hashing, at most ceil(partitions / instances) for each.

    Few partitions move when an instance comes or goes, and none has more than its share of a topic (Thaler and
    Ravishankar, 1998; with bounded loads as of Mirrokni, Thorup and Zadimoghaddam, 2018).
    """
    most = -(-partitions // len(names))
    owned = dict.fromkeys(names, 0)
    found: list[str] = []
    for partition in range(partitions):
        free = (name for name in names if owned[name] < most)
        owner = max(free, key=lambda name: _weight(f"{topic}/{partition}/{name}"))
        owned[owner] += 1
        found.append(owner)
    return tuple(found)


def _weight(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
