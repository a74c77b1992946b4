"""`headrace up --json`: what programs are told. A whole start is run by the end-to-end tests."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import pytest

from deploy.local.options import BrokerKind
from deploy.local.platform import LocalPlatform
from deploy.local.platform_environment import any_free_ports
from deploy.local.supervised_process import ProcessSpec
from deploy.local.supervisor import Supervisor
from deploy.local.telling import tell_standard_output
from deploy.local.up import addresses
from services.console.cli import main
from services.console.cli.local_commands import BrokerName
from tests.eventually import eventually
from tests.unit.deploy.processes import REPOSITORY


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_happens_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell_standard_output("service_ready", service="registry", seconds=0.5)
    tell_standard_output("stopped", reason="one line\nand another: ä")
    assert told(capsys) == [
        {"event": "service_ready", "service": "registry", "seconds": 0.5},
        {"event": "stopped", "reason": "one line\nand another: ä"},
    ]


def test_lines_of_several_threads_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    threads = [threading.Thread(target=tell_standard_output, args=("restarted",), kwargs={"n": n}) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["n"] for line in told(capsys)) == list(range(20))


def test_a_reader_that_has_gone_away_stops_nothing() -> None:
    script = (
        "import sys\nfrom deploy.local.telling import tell_standard_output as tell\n"
        "sys.stdin.read()\ntell('ready')\ntell('stopped')\nprint('on', file=sys.stderr)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=-1, stdout=-1, stderr=-1, text=True, cwd=REPOSITORY
    ) as program:
        assert program.stdout is not None
        program.stdout.close()
        _, said = program.communicate("")
    assert (program.returncode, said) == (0, "on\n")


def test_addresses_name_every_service_and_the_broker(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path)
    platform.ports, platform.bootstrap = any_free_ports(), "127.0.0.1:9092"
    found = addresses(platform)
    assert found["broker"] == "127.0.0.1:9092"
    assert found["services"] == platform.urls
    assert (found["embedded"], found["logs"]) == (True, str(tmp_path / "logs"))
    assert json.loads(json.dumps(found)) == found


def test_a_restart_is_told_with_its_cause(tmp_path: Path) -> None:
    once = f"import pathlib, sys, time; p = pathlib.Path({str(tmp_path / 'seen')!r})\n"
    once += "if p.exists(): time.sleep(60)\np.touch(); sys.exit(7)"
    spec = ProcessSpec("registry", (sys.executable, "-c", once))
    restarts: list[tuple[str, str, int]] = []

    def restarted(name: str, cause: str, deaths: int) -> None:
        restarts.append((name, cause, deaths))

    with Supervisor([spec], tmp_path, show=lambda line: None, restarted=restarted):
        eventually(lambda: bool(restarts), 20, "the restart")
    assert restarts == [("registry", "exit code 7", 1)]


def test_a_start_that_fails_is_told_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = any_free_ports().broker
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", base))
        held.listen()
        code = main(["up", "--json", "--data", str(tmp_path), "--port-base", str(base)])
    printed, said = capsys.readouterr()
    [line] = [json.loads(line) for line in printed.splitlines()]
    assert code == 1
    assert line["event"] == "stopped"
    assert f"{base} (console)" in line["reason"]
    assert f"headrace: {line['reason']}" in said


def test_definitions_that_cannot_be_put_in_force_are_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["up", "--json", "--data", str(tmp_path / "data"), "--definitions", str(tmp_path / "nofile.yaml")])
    printed, said = capsys.readouterr()
    [line] = [json.loads(line) for line in printed.splitlines()]
    assert (code, line["event"]) == (1, "stopped")
    assert "nofile.yaml: cannot be read" in said
    assert not (tmp_path / "data").exists()


def test_the_command_offers_the_brokers_that_there_are() -> None:
    assert set(get_args(get_args(BrokerName)[0])) == {kind.value for kind in BrokerKind}
