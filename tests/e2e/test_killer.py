"""The killer itself: what it has frozen does not stay frozen."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Thread
from typing import cast

import pytest

from deploy.local.platform import LocalPlatform
from tests.e2e.killer import Blow, Killer, Undone, Wanted


class OneProcess:
    """A platform of one process that is no service."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process_ids = {"console": process.pid}


class BrokerGone:
    """Cannot look, once the service is frozen."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def of(self, service: str, frozen_at_ms: int) -> str:
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)
        raise TimeoutError(f"the logs of {service} cannot be read")


def resting(killer: Killer) -> Thread:
    """A replay that is at rest until the killer has noticed."""

    def rest() -> None:
        while not killer._rested.is_set():
            killer.at_rest({"intake/0": 24})

    thread = Thread(target=rest, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("after_s", [0.01, 0.0])
def test_who_was_frozen_goes_on_where_the_killer_fails(after_s: float) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            killer = Killer(cast(LocalPlatform, OneProcess(process)), "intake/0", ())
            killer._undone = cast(Undone, BrokerGone(process))
            rest = resting(killer)
            with pytest.raises(TimeoutError, match="console"):
                killer._frozen(Blow(24, ("console",)), after_s)
            rest.join()
            process.terminate()
            # Who is frozen takes no notice of a request to end.
            assert process.wait(timeout=5) < 0
        finally:
            process.kill()


def test_nobody_is_frozen_before_the_rows_of_the_blow() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            killer = Killer(cast(LocalPlatform, OneProcess(process)), "intake/0", ())
            killer._wanted = Wanted(24, ("console",))
            killer.at_rest({"intake/0": 23})
            assert os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is None
            # The replay goes on when this returns, and finds it frozen.
            killer.at_rest({"intake/0": 24})
            assert os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT) is not None
        finally:
            process.kill()
