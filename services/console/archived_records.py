"""The accepted records of a source as they are archived: what a platform can be rebuilt from.

Needs no broker and no service: segments lie in the object store, and the newest records, which do not fill a segment
yet, in the files of ingestion.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from shared.contracts.errors import HeadraceError
from shared.runtime.artifacts import ArtifactDamaged, ArtifactStore

_COLUMNS = ("record_id", "key", "time_ms", "late", "value", "topic", "topic_partition", "topic_offset")
_ORDER = ("time_ms", "topic_partition", "topic_offset")


class NoSuchLog(HeadraceError):
    """It is not clear whose archive is wanted."""

    def __init__(self, store: str, found: list[str]) -> None:
        held = f"holds those of the logs {', '.join(found)}: choose one with --log" if found else "holds none"
        super().__init__(f"the object store at {store} {held}; another folder is named with --data, another store with "
                         "HEADRACE_OBJECT_STORE")  # fmt: skip


def log_of(data: Path, store: ArtifactStore, url: str) -> str:
    """The log to which the state of ingestion in a folder belongs, else the only one that the store knows. Raises
    NoSuchLog."""
    markers = {marker.read_text().strip() for marker in data.glob("state/ingestion/*/log_id")}
    found = sorted(markers or {name.partition("/")[0] for name in store.names("")})
    if len(found) != 1:
        raise NoSuchLog(url, found)
    return found[0]


def archived_records(store: ArtifactStore, log_id: str, data: Path, topic: str) -> Iterator[str]:
    """Each record once, as JSON, in the order of their times. Raises ArtifactMissing and ArtifactDamaged."""
    parts = [*_segments(store, log_id, topic), _not_in_segments(data, topic)]
    records = pl.concat([part.select("record_id", "value", *_ORDER) for part in parts], how="vertical_relaxed")
    once = records.sort(_ORDER).unique("record_id", keep="first", maintain_order=True)
    yield from once["value"]


def _segments(store: ArtifactStore, log_id: str, topic: str) -> Iterator[pl.DataFrame]:
    for uri in store.names(f"{log_id}/segments/records"):
        data, named = store.read(uri), Path(uri).stem
        found = hashlib.sha256(data).hexdigest()
        if found != named:
            raise ArtifactDamaged(uri, named, found)
        yield pl.read_parquet(io.BytesIO(data)).filter(pl.col("topic") == topic)


def _not_in_segments(data: Path, topic: str) -> pl.DataFrame:
    rows: list[list[Any]] = []
    for file in sorted(data.glob("state/ingestion/*/ingestion~accept~*.sqlite")):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            query = "SELECT row FROM buffers WHERE name = 'archive' ORDER BY ordinal"
            rows += [json.loads(row) for (row,) in connection.execute(query)]
    schema = {name: pl.Int64 if name in _ORDER else pl.Boolean if name == "late" else pl.String for name in _COLUMNS}
    return pl.DataFrame(rows, schema=schema, orient="row").filter(pl.col("topic") == topic)
