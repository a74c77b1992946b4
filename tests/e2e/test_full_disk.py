"""A platform on a disk that is full, or has spoilt files, says so, rests, and goes on by itself: nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deploy.spawn import end, spawn
from tests.e2e.visits import SOURCE, accepted, apply, publish, readiness
from tests.eventually import eventually

HEADRACE = Path(sys.executable).with_name("headrace")
PORT_BASE = 19_300
# In namespaces of its own, where mounting is allowed, and what is mounted goes with the process.
ON_A_SMALL_DISK = 'mount -t tmpfs -o size=48m tmpfs "$1" && exec "$0" up --json --data "$1" --port-base "$2"'


@dataclass(frozen=True)
class Running:
    urls: dict[str, str]
    disk: Path
    process_id: int

    def fill(self) -> None:
        """Until not a byte more goes on the disk."""
        with (self.disk / "filler").open("ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        filler.write(bytes(size))

    def disk_full(self, service: str) -> set[float]:
        """What its metric says of its tasks."""
        lines = httpx.get(f"{self.urls[service]}/metrics").text.splitlines()
        return {float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"headrace_{service}_disk_full{{")}

    def spoil_files(self, service: str) -> list[Path]:
        """Those of its tasks, which stands still; there are some."""
        spoilt = list(self.disk.rglob(f"state/{service}/*/*~*.sqlite"))
        for file in spoilt:
            file.write_bytes(b"no database at all, but long enough to be looked at" * 100)
            Path(f"{file}-wal").unlink()
        assert spoilt
        return spoilt

    def process_ids(self, service: str) -> list[int]:
        """Of a service's processes, as far as they run."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process_id), "-f", f"services.{service}$"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [int(line) for line in found.stdout.split()]


def no_room(url: str) -> bool:
    """Whether a service is not ready, and says that it goes on once there is room."""
    status, reasons = readiness(url)
    return status == 503 and any("goes on by itself once there is room" in why for why in reasons.values())


def takes_requests(serving: str) -> int | None:
    """What serving answers of itself; None while it is being started."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{serving}/v2/health/ready").status_code
    return None


@contextmanager
def running(folder: Path) -> Generator[Running]:
    said, mounted = folder / "said.ndjson", folder / "disk"
    mounted.mkdir()
    with said.open("wb") as output:
        command = ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, HEADRACE, mounted, str(PORT_BASE)]
        up = spawn(command, output=output)
    try:
        eventually(lambda: '"event": "ready"' in said.read_text() or up.poll() is not None, 120, "it starts")
        assert up.poll() is None, said.read_text()
        [ready] = [line for line in said.read_text().splitlines() if '"event": "ready"' in line]
        yield Running(json.loads(ready)["services"], Path("/proc", str(up.pid), "root", *mounted.parts[1:]), up.pid)
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=60) == 0, said.read_text()
    finally:
        end([up], grace_s=10)


def ids(first: int, count: int) -> list[str]:
    return [f"visit-{number}" for number in range(first, first + count)]


@pytest.mark.timeout(400)
def test_a_full_disk_pauses_is_told_and_costs_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        urls, console = platform.urls, platform.urls["console"]
        apply(console)
        publish(urls["ingestion"], ids(0, 50))
        eventually(lambda: accepted(console) == 50, 60, "records flow")
        assert platform.disk_full("ingestion") == {0.0}

        platform.fill()
        publish(urls["ingestion"], ids(50, 500))
        eventually(lambda: 1.0 in platform.disk_full("ingestion"), 60, "the metric tells it")
        assert no_room(urls["ingestion"])
        publish(urls["ingestion"], ids(550, 50))
        assert accepted(console) < 600

        [died] = platform.process_ids("ingestion")
        os.kill(died, signal.SIGKILL)
        eventually(lambda: platform.process_ids("ingestion") not in ([], [died]), 60, "it is started again")
        eventually(lambda: no_room(urls["ingestion"]), 60, "it waits for room to open its files, and lives")
        assert 1.0 in platform.disk_full("ingestion"), "the metric tells of tasks that cannot be opened"
        again = platform.process_ids("ingestion")

        [served] = platform.process_ids("serving")
        os.kill(served, signal.SIGSTOP)
        for file in platform.disk.rglob("requests.sqlite*"):
            file.unlink()
        platform.fill()
        os.kill(served, signal.SIGKILL)
        eventually(lambda: platform.process_ids("serving") not in ([], [served]), 60, "serving is started again")
        eventually(
            lambda: takes_requests(urls["serving"]) == 400, 60, "it has no room for a log of requests, and lives"
        )
        assert no_room(urls["serving"])
        assert 1.0 in platform.disk_full("serving"), "the metric tells of the log of requests"
        served_again = platform.process_ids("serving")

        (platform.disk / "filler").unlink()
        eventually(lambda: accepted(console) == 600, 60, "it goes on, and nothing was lost")
        eventually(lambda: platform.disk_full("ingestion") == {0.0}, 30, "the metric tells that too")
        eventually(lambda: readiness(urls["ingestion"])[0] == 200, 60, "it is ready again")
        eventually(lambda: takes_requests(urls["serving"]) == 200, 60, "requests are taken again")
        assert platform.process_ids("ingestion") == again
        assert platform.process_ids("serving") == served_again
        publish(urls["ingestion"], [*ids(0, 600), "one more"])
        eventually(lambda: accepted(console) == 601, 60, "each was accepted once")
        assert SOURCE.name in httpx.get(f"{console}/v1/counts").json()["sources"]

        os.kill(again[0], signal.SIGSTOP)
        spoilt = platform.spoil_files("ingestion")
        os.kill(again[0], signal.SIGKILL)
        eventually(lambda: all(one.with_suffix(".damaged-1").exists() for one in spoilt), 60, "each is set aside")
        eventually(lambda: readiness(urls["ingestion"])[0] == 200, 60, "it is ready without them")
        publish(urls["ingestion"], [*ids(0, 600), "one more", "yet another"])
        eventually(lambda: accepted(console) == 602, 60, "what they held is there again, and goes on")
