"""Looks at what lies on disks: folders of state, the room that is left, and the object store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from obstore.exceptions import BaseError

from services.console.doctor.facts import StateFolder
from services.console.doctor.finding import Unseen
from shared.runtime.artifacts import ArtifactMissing, ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.task_file import reached_in
from shared.runtime.task_folder import log_of_folder
from shared.runtime.task_names import task_of

STORE_WITHIN_S = 10.0


def look_at_state(data: Path) -> list[StateFolder] | Unseen:
    """The folder of each process below `data/state`; nothing is changed or locked."""
    folders = sorted(folder for folder in data.glob("state/*/*") if folder.is_dir())
    if not folders:
        return Unseen(f"{data / 'state'} holds no state of services: they run elsewhere, or another --data is theirs")
    return [StateFolder(folder, log_of_folder(folder), _reached(folder)) for folder in folders]


def look_at_copies(
    url: str, log_id: str | None, *, ours: bool, within_s: float = STORE_WITHIN_S
) -> tuple[Mapping[str, tuple[int, int]] | Unseen, str | None]:
    """How far the furthest copy of each task got; and the fault, if the store gives no answer.

    `ours`: services run on this machine, so that a folder of objects must be here too.
    """
    if "://" not in url and not Path(url).is_dir():
        said = f"there is no folder {url}"
        return (
            (Unseen(said), said) if ours else (Unseen(f"{said}: name the object store by HEADRACE_OBJECT_STORE"), None)
        )
    if log_id is None:
        return Unseen("which log the copies belong to is not known"), None
    answer: SimpleQueue[Mapping[str, tuple[int, int]] | ArtifactMissing] = SimpleQueue()
    # A daemon: the client of a store that is away tries again for minutes, and is not to be waited for.
    Thread(target=_ask, args=(url, log_id, answer), daemon=True).start()
    try:
        found = answer.get(timeout=within_s)
    except Empty:
        found = ArtifactMissing(url, f"no answer within {within_s:g} s")
    if isinstance(found, ArtifactMissing):
        return Unseen(f"the object store at {url} does not answer"), str(found)
    return found, None


def _ask(url: str, log_id: str, answer: SimpleQueue[Mapping[str, tuple[int, int]] | ArtifactMissing]) -> None:
    try:
        answer.put(Copies(ArtifactStore.at(url), log_id).reached())
    except ArtifactMissing as error:
        answer.put(error)
    except (BaseError, OSError, ValueError) as error:
        answer.put(ArtifactMissing(url, str(error)))


def _reached(folder: Path) -> dict[str, tuple[int, int]]:
    """Of the files that can be read: one that a process is just making, or a damaged one, is left out."""
    found: dict[str, tuple[int, int]] = {}
    for file in folder.glob("*~*.sqlite"):
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                found[task_of(file.stem)] = reached_in(connection)
        except sqlite3.Error:
            continue
    return found
