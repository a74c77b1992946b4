"""Copies of tables in the object store: the rows of one partition, as its log up to a position gives them.

A copy is a Zstandard stream of JSON lines, one a row in the order of entities, each [entity, newest event time, state],
at `{log id}/tables/{view}/{partition}/{position}-{sha256}.jsonl.zst`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
import zstandard

from shared.contracts.platform import TableCopy
from shared.contracts.reference import Reference
from shared.runtime.artifacts import ArtifactStore

_CHUNK_ROWS = 1_000


class TableRow(NamedTuple):
    """The newest window state of an entity. `time_ms`: the newest event time that went into it."""

    state: dict[str, Any]
    time_ms: int


Rows = dict[str, TableRow]


class TableCopies:
    """The copies that belong to one log. Every method raises ArtifactMissing while the store does not answer."""

    def __init__(self, store: ArtifactStore, log_id: str) -> None:
        self._store, self._log_id = store, log_id

    def keep(self, view: str, partition: int, position: int, rows: Rows) -> Reference:
        """Store a copy. The same rows give the same bytes."""
        data = encoded(rows)
        sha256 = hashlib.sha256(data).hexdigest()
        uri = f"{self._folder(view, partition)}/{position:019}-{sha256}.jsonl.zst"
        self._store.write(uri, data)
        return Reference(uri=uri, sha256=sha256, bytes=len(data))

    def read(self, copy: TableCopy) -> Rows:
        """The rows of a copy. Raises ArtifactDamaged as well."""
        return decoded(self._store.get(copy.table))

    def remove_before(self, view: str, partition: int, position: int) -> None:
        """Remove copies that hold less than this one, whether they were ever told of or not."""
        names = self._store.names(self._folder(view, partition))
        self._store.remove([uri for uri in names if int(uri.rpartition("/")[2].partition("-")[0]) < position])

    def _folder(self, view: str, partition: int) -> str:
        return f"{self._log_id}/tables/{view}/{partition}"


def encoded(rows: Mapping[str, TableRow]) -> bytes:
    """Rows as the bytes of a copy."""
    stream, entities = zstandard.ZstdCompressor().compressobj(), sorted(rows)
    parts: list[bytes] = []
    for first in range(0, len(entities), _CHUNK_ROWS):
        chunk = ((entity, rows[entity]) for entity in entities[first : first + _CHUNK_ROWS])
        parts.append(stream.compress(b"".join(_line(entity, row) for entity, row in chunk)))
    return b"".join((*parts, stream.flush()))


def decoded(data: bytes) -> Rows:
    """The rows of a copy's bytes."""
    return {entity: TableRow(state, time_ms) for entity, time_ms, state in map(orjson.loads, _lines(data))}


def _line(entity: str, row: TableRow) -> bytes:
    return orjson.dumps((entity, row.time_ms, row.state), option=orjson.OPT_APPEND_NEWLINE)


def _lines(data: bytes) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(data) as stream:
        yield from io.BufferedReader(stream)
