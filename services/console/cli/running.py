"""The platform that `headrace up` started from a folder of data, where that program is installed beside this one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.local.running_platform import RunningPlatform


def running_from(folder: Path) -> RunningPlatform | None:
    """What runs from a folder now; None if nothing does."""
    if find_spec("deploy") is None:
        return None
    from deploy.local.running_platform import RunningPlatform

    return RunningPlatform.noted(folder)
