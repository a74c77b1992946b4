"""How a task is named where its id, which has slashes, names a file or a folder."""

from __future__ import annotations


def stored_as(task: str) -> str:
    """The name for a task's id."""
    return task.replace("/", "~")


def task_of(name: str) -> str:
    """The id of the task that is stored under a name."""
    return name.replace("~", "/")
