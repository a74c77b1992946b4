"""A client of a model over HTTP, in a process of its own: `python -m deploy.local.demo_client URL SEED RATE`.

It asks one prediction after the other over one connection, at most RATE a second, while it is told to. Lines in: `go`,
`hold` (answered `{"held": true}` once nothing is under way) and `stop` (answered with the last count, then it ends).
Lines out, as JSON: `Asked`, twice a second. Whatever is not answered 200 with a probability is a failure, and so is a
connection that breaks: nothing is asked a second time.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from examples.card_fraud.stream import StreamPlan, payments

SAY_EVERY_S = 0.5
SHOWN_FAILURES = 5
# Its transactions are none of the stream's.
OTHER_SEED = 1_000_003


@dataclass(slots=True)
class Asked:
    """What was asked so far. `versions`: who answered, in order, each as long as it did; latencies in milliseconds."""

    asked: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list[str])
    versions: list[list[int]] = field(default_factory=list[list[int]])
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None


class Client:
    """Asks, and keeps count."""

    def __init__(self, url: str, seed: int) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=10.0)
        self._records = _records(seed)
        self._latencies_ms: list[float] = []
        self.count = Asked()

    def ask(self) -> None:
        """One prediction."""
        body = json.dumps(next(self._records))
        began_s = time.perf_counter()
        self.count.asked += 1
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            self._failed(f"{type(error).__name__}: {error}")
            return
        self._latencies_ms.append((time.perf_counter() - began_s) * 1000.0)
        if answer.status != 200:
            self._failed(f"{answer.status} {said[:300].decode(errors='replace')}")
            return
        self._answered(json.loads(said))

    def counted(self) -> Asked:
        """The count by now."""
        ordered = sorted(self._latencies_ms)
        if ordered:
            self.count.latency_p50_ms = round(ordered[len(ordered) // 2], 3)
            self.count.latency_p99_ms = round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3)
        return self.count

    def _answered(self, said: dict[str, Any]) -> None:
        version, prediction = said.get("version"), said.get("prediction")
        probability = prediction.get("probability") if isinstance(prediction, dict) else None
        if not isinstance(version, int) or not isinstance(probability, float):
            self._failed(f"no probability in {json.dumps(said)[:300]}")
            return
        versions = self.count.versions
        if not versions or versions[-1][0] != version:
            versions.append([version, 0])
        versions[-1][1] += 1

    def _failed(self, why: str) -> None:
        self.count.failed += 1
        if len(self.count.failures) < SHOWN_FAILURES:
            self.count.failures.append(why)


def _records(seed: int) -> Iterator[dict[str, Any]]:
    while True:
        for payment in payments(StreamPlan(seed + OTHER_SEED, 10_000, drift_at=None)):
            yield {name: value for name, value in payment.transaction.items() if name not in ("transaction_id", "at")}
        seed += 1


class Orders:
    """What was said on standard input last. At its end the client stops: whoever started it is gone."""

    def __init__(self) -> None:
        self.newest = "hold"
        self.unanswered = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self.newest = line.strip()
            self.unanswered = self.newest == "hold"
        self.newest = "stop"


def main() -> int:
    """Ask until told to stop."""
    # Ctrl-C in a terminal reaches the whole group; whoever started this ends it, by the end of its standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    url, seed, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    client, orders = Client(url, seed), Orders()
    said_s = next_s = time.monotonic()
    while orders.newest != "stop":
        now_s = time.monotonic()
        if orders.newest == "hold":
            if orders.unanswered:
                orders.unanswered = False
                _say({"held": True})
            time.sleep(0.001)
            next_s = now_s
        elif now_s < next_s:
            time.sleep(next_s - now_s)
        else:
            client.ask()
            next_s += 1.0 / rate
        if now_s - said_s > SAY_EVERY_S:
            said_s = now_s
            _say(asdict(client.counted()))
    _say({**asdict(client.counted()), "stopped": True})
    return 0


def _say(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    sys.exit(main())
