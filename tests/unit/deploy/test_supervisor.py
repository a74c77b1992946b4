from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from deploy.local.supervised_process import ProcessSpec
from deploy.local.supervisor import ProcessesFailed, Supervisor
from deploy.ports import free_ports, is_free
from tests.eventually import eventually
from tests.unit.deploy.processes import python, runs

# Answers 503 until it was asked twice, then 200; logs one JSON line of each level.
_SERVER = """
import http.server, json, sys
asked = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        self.send_response(200 if asked > 2 else 503)
        self.end_headers()
        self.wfile.write(b'{"broker": "waiting"}')
    def log_message(self, *_):
        pass
for level in ("info", "error"):
    print(json.dumps({"level": level, "event": f"an {level} line"}), flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
# Writes its name to a file when SIGTERM comes.
_NOTES_ITS_END = """
import pathlib, signal, sys, time
def stop(*_):
    with pathlib.Path(sys.argv[2]).open("a") as file:
        file.write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[2] + "." + sys.argv[1]).touch()
time.sleep(60)
"""
_SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def _server(port: int) -> ProcessSpec:
    argv = (sys.executable, "-c", _SERVER, str(port))
    return ProcessSpec("server", argv, ready=f"http://127.0.0.1:{port}/readyz")


def test_it_waits_until_a_url_answers_200_and_frees_the_port(tmp_path: Path) -> None:
    [port] = free_ports(1)
    shown: list[str] = []
    with Supervisor([_server(port)], tmp_path, show=shown.append) as supervisor:
        process = supervisor.process_ids["server"]
        assert runs(process)
    assert not runs(process)
    assert is_free(port)
    assert shown == ["server | --:--:-- error   an error line"]
    log = [json.loads(line)["event"] for line in (tmp_path / "logs" / "server.log").read_text().splitlines()]
    assert log == ["an info line", "an error line"]


def test_what_never_gets_ready_is_said_with_its_last_answer(tmp_path: Path) -> None:
    [port] = free_ports(1)
    spec = ProcessSpec("sleeper", _SLEEP, ready=f"http://127.0.0.1:{port}/readyz")
    supervisor = Supervisor([spec], tmp_path, ready_timeout_s=0.5, show=lambda _: None)
    with pytest.raises(ProcessesFailed, match=r"sleeper was not ready after 0\.5 s: .*does not answer"):
        supervisor.start()
    assert supervisor.process_ids == {}


def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    shown: list[str] = []
    with Supervisor(
        [ProcessSpec("one", _SLEEP), ProcessSpec("two", _SLEEP)], tmp_path, show=shown.append
    ) as supervisor:
        before = supervisor.process_ids
        os.kill(before["two"], signal.SIGKILL)
        eventually(lambda: supervisor.process_ids.get("two") not in (None, before["two"]), 20, "the restart of two")
        assert supervisor.process_ids["one"] == before["one"]
        assert supervisor.failure is None
    assert shown == ["two | ended with signal SIGKILL; starting it again (1 of 5)"]


def test_the_fifth_death_within_a_minute_stops_everything_and_says_why(tmp_path: Path) -> None:
    script = "import sys; print('the reason', flush=True); sys.exit(7)"
    specs = [ProcessSpec("steady", _SLEEP), ProcessSpec("broken", (sys.executable, "-c", script))]
    supervisor = Supervisor(specs, tmp_path, show=lambda _: None)
    supervisor.start()
    with pytest.raises(ProcessesFailed, match=r"(?s)broken ended 5 times within 60 s.*exit code 7.*the reason"):
        supervisor.wait(20)
    assert supervisor.process_ids == {}
    assert (tmp_path / "logs" / "broken.log").read_text() == "the reason\n" * 5
    supervisor.stop()


def test_a_process_that_says_twice_that_a_restart_is_of_no_use_is_not_tried_again(tmp_path: Path) -> None:
    script = "import sys; print('the reason', flush=True); sys.exit(3)"
    specs = [ProcessSpec("steady", _SLEEP), ProcessSpec("broken", (sys.executable, "-c", script), for_good=3)]
    supervisor = Supervisor(specs, tmp_path, show=lambda _: None)
    supervisor.start()
    with pytest.raises(ProcessesFailed, match=r"(?s)broken ended twice for good.*exit code 3.*the reason"):
        supervisor.wait(20)
    assert supervisor.process_ids == {}
    assert (tmp_path / "logs" / "broken.log").read_text() == "the reason\n" * 2
    supervisor.stop()


def test_deaths_that_lie_more_than_a_minute_apart_do_not_add_up(tmp_path: Path) -> None:
    [process] = Supervisor([ProcessSpec("one", _SLEEP)], tmp_path)._processes
    assert [process.died(now_s, within_s=60.0) for now_s in (0, 10, 20, 30, 61, 200)] == [1, 2, 3, 4, 4, 1]


def test_it_stops_in_reverse_order_and_the_broker_last(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    specs = [
        ProcessSpec(
            name,
            (sys.executable, "-c", _NOTES_ITS_END, name, str(ends)),
            ready=(tmp_path / f"ends.{name}").exists,
            stop_last=name == "broker",
        )
        for name in ("broker", "service")
    ]
    with Supervisor(specs, tmp_path):
        pass
    assert ends.read_text().split() == ["service", "broker"]


_UNTIL_INTERRUPTED = """
import sys
from pathlib import Path
from deploy.local.staying import terminates_as_interrupted
from deploy.local.supervised_process import ProcessSpec
from deploy.local.supervisor import Supervisor
port = sys.argv[2]
specs = [
    ProcessSpec(
        "server",
        (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", port),
        ready=f"http://127.0.0.1:{port}/",
    ),
    ProcessSpec("sleeper", (sys.executable, "-c", "import time; time.sleep(60)")),
]
try:
    with terminates_as_interrupted(), Supervisor(specs, Path(sys.argv[1])) as supervisor:
        print(*supervisor.process_ids.values(), flush=True)
        while not supervisor.wait(0.2):
            pass
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_orphan_and_no_port_taken_however_the_supervisor_ends(tmp_path: Path, how: signal.Signals) -> None:
    [port] = free_ports(1)
    program = python(_UNTIL_INTERRUPTED, tmp_path, port)
    assert program.stdout is not None
    with program.stdout:
        children = [int(one) for one in program.stdout.readline().split()]
        assert len(children) == 2
        assert all(runs(child) for child in children)
        program.send_signal(how)
        rest = program.stdout.read()
    code = program.wait()
    assert (code, rest) == ((-9, "") if how == signal.SIGKILL else (0, "stopped\n"))
    eventually(lambda: not any(runs(child) for child in children), 20, "the children's end")
    eventually(lambda: is_free(port), 20, "the port's freedom")


def test_a_signal_while_it_waits_for_readiness_stops_it(tmp_path: Path) -> None:
    script = _UNTIL_INTERRUPTED.replace('ready=f"http://127.0.0.1:{port}/"', 'ready=f"http://127.0.0.1:{port}/missing"')
    [port] = free_ports(1)
    program = python(script, tmp_path, port)
    eventually(lambda: not is_free(port), 20, "the server")
    started = time.monotonic()
    program.send_signal(signal.SIGINT)
    output, _ = program.communicate(timeout=20)
    assert (program.returncode, output) == (0, "stopped\n")
    assert time.monotonic() - started < 10
    assert is_free(port)
