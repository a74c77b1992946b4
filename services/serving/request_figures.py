"""How requests went, by model and version: for Prometheus, and since the last sign of life for the guardrails."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.contracts.control import RequestFigures

FAILED = 500  # the only status that is the version's own fault
KEPT_LATENCIES = 10_000
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class _Since:
    requests: int = 0
    errors: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))

    def figures(self) -> RequestFigures:
        ordered = sorted(self.latencies_ms)
        return RequestFigures(
            requests=self.requests,
            errors=self.errors,
            latency_p50_ms=_quantile(ordered, 0.5),
            latency_p99_ms=_quantile(ordered, 0.99),
        )


class RequestMeter:
    """Counts requests by the version that answers them. Any thread may count, and any may take."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[str, _Since] = {}

    def count(self, model: str, version: int, seconds: float, failed: bool) -> None:
        with self._lock:
            since = self._since.setdefault(f"{model}/{version}", _Since())
            since.requests += 1
            since.errors += failed
            since.latencies_ms.append(seconds * 1000)

    def take(self) -> dict[str, RequestFigures]:
        """The figures since the last call, by `model/version`."""
        with self._lock:
            taken, self._since = self._since, {}
        return {name: since.figures() for name, since in taken.items()}


def _quantile(ordered: list[float], q: float) -> float | None:
    """The smallest value that at least this share of all does not exceed."""
    return round(ordered[max(0, -int(-q * len(ordered) // 1) - 1)], 3) if ordered else None


class RequestMetrics:
    """The same for Prometheus. `version` is empty where none answered, `code` the HTTP status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "headrace_serving_requests",
            "requests for predictions that were answered",
            ["model", "version", "code"],
            registry=registry,
        )
        self._errors = Counter(
            "headrace_serving_request_errors",
            "requests that a version should have answered and could not",
            ["model", "version"],
            registry=registry,
        )
        self._seconds = Histogram(
            "headrace_serving_request_seconds",
            "time from request to answer, its log on disk included",
            ["model", "version"],
            buckets=SECONDS,
            registry=registry,
        )

    def count(self, model: str, version: int | None, code: int, seconds: float) -> None:
        label = "" if version is None else str(version)
        self._requests.labels(model, label, str(code)).inc()
        self._seconds.labels(model, label).observe(seconds)
        if code == FAILED and version is not None:
            self._errors.labels(model, label).inc()
