"""Serving on a broker in memory, beside a test that plays registry and features; and real models to serve."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.serving.app import build, routers
from services.serving.settings import ServingSettings
from services.training.dataset import Dataset, Kind, LabelledRow
from services.training.export import artifact_bytes
from services.training.fit import fit
from shared.contracts import control as c
from shared.contracts.definitions import FeatureView
from shared.contracts.envelope import Event, Message
from shared.contracts.flow import PredictionMade
from shared.contracts.topics import FEATURES, PREDICTIONS, SCORING
from shared.inputs.windows import observe
from shared.runtime.process import Process
from tests import builders as b
from tests.memory_host import MemoryHost, settle

SPEC: list[tuple[str, Kind]] = [
    ("amount", "number"), ("category", "category"), ("hour", "number"),
    (f"{b.VIEW}.spend_mean_1h", "number"), (f"{b.VIEW}.count_24h", "number"),
]  # fmt: skip
FEATURES_TASK = f"features/compute/records.{b.SOURCE}.v1/0"
PREDICTED = PREDICTIONS.of(b.MODEL).name
SCORED = SCORING.of(b.MODEL).name


@lru_cache
def artifact(seed: int = 0, family: str = "hist_gradient_boosting") -> bytes:
    """A model of card_fraud, fitted on 240 rows; another seed gives another one."""
    draw = np.random.default_rng(seed)
    rows: list[LabelledRow] = []
    for number in range(240):
        amount = float(draw.uniform(1, 100))
        inputs = {
            "amount": amount,
            "category": ("food", "travel", "web")[int(draw.integers(3))],
            "hour": float(draw.integers(24)),
            f"{b.VIEW}.spend_mean_1h": float(draw.uniform(1, 50)),
            f"{b.VIEW}.count_24h": float(draw.integers(9)),
        }
        rows.append(LabelledRow(f"t{number:03d}", number, inputs, amount + float(draw.normal(0, 20)) > 60))
    data = Dataset.from_rows(SPEC, rows, "binary")
    model = fit(data, task="binary", families=(family,), trials=1, seed=seed, report_progress=lambda _: None)
    return artifact_bytes(model)


class Platform:
    """Decisions and logs around one serving process."""

    def __init__(self, host: MemoryHost | None = None, further: Sequence[FeatureView] = (), **model: Any) -> None:
        self.host = host or MemoryHost()
        self.host.clock.pass_ms(max(0, b.T0_MS - self.host.clock.wall_ms()))
        admin = self.host.broker.admin()
        views = (b.view(), *further)
        for topic in (SCORED, *(FEATURES.of(view.name).name for view in views)):
            admin.create(topic, 1, {})
        self.model = b.model(**model)
        self.host.decide(b.founded(), b.applied(b.source(), b.label_source(), *views, self.model))
        self._sequences: dict[str, int] = {}
        self.process = self.start()

    def start(self) -> Process:
        """A new process; the one before is gone."""
        self.process = self.host.start(build(ServingSettings()))
        return self.process

    def settle(self) -> None:
        settle(self.process)

    def decide(self, *events: Event) -> None:
        """Decisions, and all that serving makes of them."""
        self.host.decide(*events)
        self.settle()

    def reference(self, number: int) -> c.Reference:
        return self.host.artifacts.put("log", "models", artifact(number), ".onnx")

    def approved(self, number: int) -> tuple[Event, ...]:
        """A version with an artifact of its own, on its way."""
        return b.registered(number, artifact=self.reference(number), follows="rollout"), b.approved(number)

    def with_first_version(self) -> Platform:
        self.decide(*self.approved(1), b.promoted(1))
        return self

    def with_candidate(self, share: float, split: str = "entity") -> Platform:
        """Version 1 answers, version 2 is tried with this share."""
        self.decide(*self.approved(1), b.promoted(1), *self.approved(2), b.rollout_started())
        step = {"phase": "step", "step": 1} if share else {}
        self.decide(b.rollout_advanced(share=share, **step))
        return self

    def scoring(self, *events: Event, control: int | None = None) -> None:
        """What features derives, under a control position: the newest, unless another is named."""
        for event in events:
            position = len(self.host.events("control.v1")) if control is None else control
            entity: str = getattr(event, "entity", "")
            self.host.write(SCORED, self._derived(SCORED, entity, event, position))

    def windows(self, entity: str, *amounts: float, view: FeatureView | None = None) -> None:
        """The windows of an entity after records with these amounts, a minute apart, up to T0."""
        state, view = None, view or b.view()
        for number, amount in enumerate(amounts):
            at_ms = b.T0_MS - 60_000 * (len(amounts) - number)
            state = observe(view, state, at_ms, f"r{number}", {"amount": amount})
        assert state is not None
        row = b.windows(view=view.name, entity=entity, state=state.as_json())
        topic = FEATURES.of(view.name).name
        self.host.write(topic, self._derived(topic, entity, row, 2))
        self.settle()

    def _derived(self, topic: str, key: str, event: Event, control: int) -> Message:
        sequence = self._sequences[topic] = self._sequences.get(topic, 0) + 1
        return b.message(event, source=FEATURES_TASK, sequence=sequence, key=key, control=control)

    def predictions(self) -> list[PredictionMade]:
        """What stands in the predictions' log."""
        found = [message.event for message in self.host.events(PREDICTED)]
        return [event for event in found if isinstance(event, PredictionMade)]

    def said(self, kind: type[Event]) -> list[Any]:
        """Events of a kind that stand in control.v1."""
        return [message.event for message in self.host.events("control.v1") if isinstance(message.event, kind)]

    def client(self, within_s: float | None = None) -> Client:
        app = FastAPI()
        for router in routers(self.process, CollectorRegistry()):
            app.include_router(router)
        return Client(app, within_s)


class Client:
    """Asks an application without a server. Raises TimeoutError for an answer that takes longer than `within_s`."""

    def __init__(self, app: FastAPI, within_s: float | None = None) -> None:
        self._app, self._within_s = app, within_s

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.ask("POST", path, **body)

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        async def answer() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://serving") as http:
                return await asyncio.wait_for(http.request(method, path, **body), self._within_s)

        return asyncio.run(answer())
