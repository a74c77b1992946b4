"""The demo's HTTP client under Ctrl-C, which a terminal sends to every process of the group."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from deploy.local.demo_asking import ROOT


def test_ctrl_c_is_left_to_whoever_started_it() -> None:
    argv = [sys.executable, "-m", "deploy.local.demo_client", "http://127.0.0.1:9", "1", "10"]
    with subprocess.Popen(argv, cwd=ROOT, stdin=-1, stdout=-1, stderr=-1, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("hold\n")
        client.stdin.flush()
        assert json.loads(client.stdout.readline()) == {"held": True}
        client.send_signal(signal.SIGINT)
        # It still takes orders, and ends with its standard input.
        client.stdin.write("hold\n")
        client.stdin.flush()
        while "held" not in json.loads(client.stdout.readline()):
            pass
        printed, said = client.communicate()
    assert json.loads(printed.splitlines()[-1])["stopped"]
    assert (client.returncode, said) == (0, "")
