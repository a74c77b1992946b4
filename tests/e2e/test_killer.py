"""The killer itself: what it has frozen does not stay frozen."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import cast

import pytest

from deploy.local.platform import LocalPlatform
from tests.e2e.killer import Blow, Killer, Undone


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


def test_who_was_frozen_goes_on_where_the_killer_fails() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            killer = Killer(cast(LocalPlatform, OneProcess(process)), "intake/0", ())
            killer._undone = cast(Undone, BrokerGone(process))
            with pytest.raises(TimeoutError, match="console"):
                killer._frozen(Blow(0, ("console",)))
            process.terminate()
            # Who is frozen takes no notice of a request to end.
            assert process.wait(timeout=5) < 0
        finally:
            process.kill()
