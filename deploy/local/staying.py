"""A platform of this machine that stays until somebody stops it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

from deploy.local.platform import LocalPlatform

_LOOK_EVERY_S = 1.0


def stay(platform: LocalPlatform, say: Callable[[str], None]) -> None:
    """Leave it running until Ctrl-C or SIGTERM, so that it can be asked. Raises ProcessesFailed."""
    say(
        f"the platform stays: ask it with --console {platform.console}, its broker is {platform.bootstrap}. "
        "Ctrl-C stops it"
    )
    try:
        with terminates_as_interrupted():
            until_interrupted(platform)
    except KeyboardInterrupt:
        say("stopping")


def until_interrupted(platform: LocalPlatform) -> None:
    """Raises KeyboardInterrupt on Ctrl-C, ProcessesFailed if everything was stopped because something failed."""
    while True:
        platform.wait(_LOOK_EVERY_S)


@contextmanager
def terminates_as_interrupted() -> Generator[None]:
    """SIGTERM does what Ctrl-C does: everything is stopped in order."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
