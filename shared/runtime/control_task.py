"""Tasks on `control.v1`: each entry shows itself, and their time is the newest tick."""

from __future__ import annotations

from shared.runtime.log import LogRecord
from shared.runtime.task import Task


class ControlTask(Task):
    """Reads the control log, which holds no marks. Acceptance is the history's, the same in every process."""

    def _take(self, record: LogRecord) -> None:
        message = self.history.entries[record.offset].message
        if message is None:
            self.counts.read += 1
            self.counts.skipped += 1
            return
        self._run_by(record.offset + 1)
        self.counts.read += 1
        self.control = record.offset + 1
        self._call(message, record)

    @property
    def behind(self) -> int:
        return max(0, self.history.position - self.position)  # after a restart the file is ahead of what is read

    def advance(self, limit: int, now_s: float) -> int:
        """Take up to `limit` entries that the history holds and this task has not taken."""
        entries = self.history.entries[self.position : self.position + limit]
        return self.process([entry.record for entry in entries], now_s) if entries else 0
