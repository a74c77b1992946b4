"""In which order a model's outcomes are taken: by (event time, record id), whatever order they came in.

Each waits under a timer of its event time; timers fire in the order of (due, key, name), the key is one and the same,
and the name ends with the record id. So at one time matured outcomes come before revisions, and these before scored
ones, each by record id: a revision finds its outcome decided. The rows wait in shards, so that adding one copies
little; each is written as text at most once while it waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self
from zlib import crc32

import orjson

Row = Mapping[str, Any]
SCORED, MATURED, REVISED = "scored", "matured", "revised"
_SHARDS = 64


class _Waits:
    """A row with its text, each made from the other when first asked for."""

    __slots__ = ("_row", "_text")

    def __init__(self, row: Row | None, text: str | None) -> None:
        self._row, self._text = row, text

    @property
    def row(self) -> Row:
        if self._row is None:
            self._row = orjson.loads(self._text or "")
        return self._row

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = orjson.dumps(self._row).decode()
        return self._text


class Waiting:
    """Rows by the name of their timer; immutable: `put` and `take` give a new one."""

    __slots__ = ("_shards",)

    def __init__(self, shards: tuple[Mapping[str, _Waits], ...] = ({},) * _SHARDS) -> None:
        self._shards = shards

    def name_for(self, kind: str, record_id: str) -> str:
        """A timer name that is not taken. A record whose join had forgotten it may come a second time."""
        name = f"{kind}:{record_id}"
        while name in self._shards[_shard(name)]:
            name += "\x1f"
        return name

    def put(self, name: str, row: Row) -> Waiting:
        shard = _shard(name)
        return self._with(shard, {**self._shards[shard], name: _Waits(row, None)})

    def take(self, name: str) -> tuple[Row, Waiting]:
        """The row of a timer that fired, and the rest."""
        shard = _shard(name)
        rest = dict(self._shards[shard])
        return rest.pop(name).row, self._with(shard, rest)

    def to_json(self) -> dict[str, str]:
        return {name: waits.text for shard in self._shards for name, waits in shard.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> Self:
        """What `to_json` wrote."""
        shards: tuple[dict[str, _Waits], ...] = tuple({} for _ in range(_SHARDS))
        for name, text in data.items():
            shards[_shard(name)][name] = _Waits(None, text)
        return cls(shards)

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def _with(self, shard: int, rows: Mapping[str, _Waits]) -> Waiting:
        return Waiting((*self._shards[:shard], rows, *self._shards[shard + 1 :]))


def record_of(name: str) -> str:
    """The record's id in a name that `name_for` gave."""
    return name.partition(":")[2].rstrip("\x1f")


def _shard(name: str) -> int:
    # Not hash(): it differs from process to process, and rows are found again after a restart.
    return crc32(name.encode()) % _SHARDS
