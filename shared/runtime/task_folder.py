"""Where a process keeps the files of its tasks: a folder that belongs to one log."""

from __future__ import annotations

from pathlib import Path

from shared.runtime.full_disks import room_for
from shared.runtime.other_logs import foreign_log
from shared.runtime.task_file import TaskFile
from shared.runtime.task_names import stored_as


class TaskFolder:
    """One folder for one service and replica. The file `log_id` says beside which log it was made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def bound_to(self) -> str | None:
        """The log that the folder belongs to; None while it is new."""
        return log_of_folder(self.folder)

    def bind(self, log_id: str) -> None:
        """Make the folder belong to a log. Raises ForeignLog if it belongs to another, and DiskFull."""
        held = self.bound_to
        if held is None:
            unfinished = self.folder / "log_id.new"
            with room_for("the folder of its tasks", unfinished):
                unfinished.write_text(log_id)
                unfinished.replace(self.folder / "log_id")
        elif held != log_id:
            raise foreign_log(f"the state in {self.folder}", held, log_id)

    def open(self, task: str) -> TaskFile:
        """The file of a task, locked. Raises FileInUse."""
        return TaskFile(task, self.folder / f"{stored_as(task)}.sqlite")


def log_of_folder(folder: Path) -> str | None:
    """The log beside which a folder's files were made; None if it does not say."""
    marker = folder / "log_id"
    return marker.read_text().strip() if marker.exists() else None
