"""The accepted records of a source as they are archived: what a platform can be rebuilt from.

Needs no broker and no service: segments lie in the object store, and the newest records, which do not fill a segment
yet, in the files of ingestion and in their copies.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from shared.contracts.errors import HeadraceError
from shared.runtime.artifacts import ArtifactDamaged, ArtifactStore
from shared.runtime.task_folder import log_of_folder

_COLUMNS = ("record_id", "key", "time_ms", "late", "value", "topic", "topic_partition", "topic_offset")
_ORDER = ("time_ms", "topic_partition", "topic_offset")


class NoSuchLog(HeadraceError):
    """It is not clear whose archive is wanted. `whence`: what was asked for the ids of logs."""

    def __init__(self, whence: str, found: list[str]) -> None:
        held = f"of the logs {', '.join(found)}: choose one with --log" if found else "of no log"
        super().__init__(f"{whence} {held}; another folder is named with --data, another object store with "
                         "HEADRACE_OBJECT_STORE")  # fmt: skip


def log_of(data: Path, store: ArtifactStore, url: str) -> str:
    """The log to which the state of ingestion in a folder belongs, else the only one that the store knows. Raises
    NoSuchLog."""
    whence = f"{data / 'state' / 'ingestion'} holds state"
    found = {log for folder in data.glob("state/ingestion/*") if (log := log_of_folder(folder))}
    if not found:
        whence = f"the object store at {url} holds archives"
        found = {name.partition("/")[0] for name in store.names("")}
    if len(found) != 1:
        raise NoSuchLog(whence, sorted(found))
    return found.pop()


def archived_records(
    store: ArtifactStore, log_id: str, topic: str, unarchived: Sequence[Sequence[Any]]
) -> Iterator[str]:
    """Each record once, as JSON, in the order of their times. Raises ArtifactMissing and ArtifactDamaged.

    `unarchived`: rows that fill no segment yet. They are read before the segments: what is moved into one meanwhile
    then stands in both.
    """
    schema = {name: pl.Int64 if name in _ORDER else pl.Boolean if name == "late" else pl.String for name in _COLUMNS}
    newest = pl.DataFrame(unarchived, schema=schema, orient="row").filter(pl.col("topic") == topic)
    parts = [*_segments(store, log_id, topic), newest]
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
