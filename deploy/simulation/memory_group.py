"""Who is there of each service, in the simulation: each instance learns of a change when the scheduler lets it."""

from __future__ import annotations

from shared.runtime.ownership import Members


class MemoryGroup:
    """The instances of one service. What the newest membership is, and what each instance has learnt of it."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._changes = 0
        self._newest = Members("none", ())
        self._learnt: dict[str, Members | None] = {}

    @property
    def unlearnt(self) -> list[str]:
        """Instances that know an older membership than the newest."""
        return [name for name, known in self._learnt.items() if known != self._newest]

    @property
    def names(self) -> tuple[str, ...]:
        return self._newest.names

    def join(self, name: str) -> None:
        """An instance comes; one that is there already stays as it is."""
        self._learnt.setdefault(name, None)
        if name not in self._newest.names:
            self._change((*self._newest.names, name))

    def restart(self, name: str) -> None:
        """An instance begins anew, before anybody misses it: what it had learnt is gone."""
        self._learnt[name] = None

    def drop(self, name: str) -> None:
        """An instance is thought dead. It goes on as before until it learns so, and joins again then."""
        if name in self._newest.names and len(self._newest.names) > 1:
            self._change(tuple(other for other in self._newest.names if other != name))

    def learn(self, name: str) -> None:
        """The instance asks, and is told the newest membership; one that was dropped joins again."""
        self.join(name)
        self._learnt[name] = self._newest

    def known_to(self, name: str) -> Members | None:
        return self._learnt.get(name)

    def _change(self, names: tuple[str, ...]) -> None:
        self._changes += 1
        self._newest = Members(f"{self._service} {self._changes}", tuple(sorted(names)), self._newest.names)


class MemoryMember:
    """One instance's place in the group."""

    def __init__(self, group: MemoryGroup, name: str) -> None:
        self._group, self._name = group, name
        group.join(name)

    def members(self) -> Members | None:
        """What it has learnt."""
        return self._group.known_to(self._name)

    def leave(self) -> None:
        """Go at once."""
        self._group.drop(self._name)
