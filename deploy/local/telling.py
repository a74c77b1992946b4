"""What happens to a platform, for programs: a JSON object a line on standard output."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Protocol

from pydantic import JsonValue

_lock = threading.Lock()


class Tell(Protocol):
    """Takes what happened, by name, with its facts. Called on any thread."""

    def __call__(self, event: str, /, **facts: JsonValue) -> None: ...


def tell_nobody(event: str, /, **facts: JsonValue) -> None:
    """Nobody asked for it."""


def tell_standard_output(event: str, /, **facts: JsonValue) -> None:
    """One line, sent at once. A reader that has gone away stops nothing."""
    with _lock:
        try:
            print(json.dumps({"event": event, **facts}, ensure_ascii=False), flush=True)
        except BrokenPipeError:
            # What is left in the buffer must not fail a second time at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
