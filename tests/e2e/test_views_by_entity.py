"""Views by three entities in one model, over the embedded broker: equal runs, tables, requests and every invariant."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.local import replay
from deploy.local.options import ReplayOptions
from deploy.local.platform import LocalPlatform
from shared.contracts.flow import InputsComputed, RecordRekeyed
from shared.contracts.topics import ENTITY, SCORING
from tests.e2e.decided import decisions
from tests.e2e.evidence_of_run import EvidenceOfRun, gathered
from tests.eventually import eventually

ROWS, START_MS, STEP_MS = 300, 1_767_225_600_000, 10_000
CARDS, SHOPS, TERMINALS = 9, 24, 30
MODEL, ALL_VIEWS = "bad_payment", ("card_use", "shop_use", "terminal_use")
DECLARED = """
kind: Source
name: payments
key: card
id: payment
time: {field: at, clock: events}
fields: {card: string, payment: integer, shop: {type: string, optional: true}, terminal: integer, amount: number}
partitions: 2
---
kind: Source
name: verdicts
key: payment
id: payment
time: {field: at, clock: events}
fields: {payment: integer, bad: integer}
---
kind: FeatureView
name: terminal_use
source: payments
entity: terminal
features: {n: {aggregate: count, over: 30m}}
---
kind: FeatureView
name: card_use
source: payments
entity: card
features: {n: {aggregate: count, over: 30m}, mean: {aggregate: mean, of: amount, over: 30m}}
---
kind: FeatureView
name: shop_use
source: payments
entity: shop
features: {n: {aggregate: count, over: 30m}, last: {aggregate: last, of: amount}}
---
kind: Model
name: bad_payment
scores: payments
task: binary
inputs: {fields: [amount], derived: {busy: shop_use.n / (card_use.n + 1)}, views: [card_use, shop_use, terminal_use]}
label: {source: verdicts, field: bad, joins: payment, matures_after: 10m, expires_after: 20m}
training: {minimum_rows: 100, search: {families: [logistic_regression], trials: 1}}
retrain: {policy: every, rows: 100}
---
kind: Replay
name: payments
source: payments
fields: {payment: row}
time: 1767225600000 + row * seconds(10)
labels:
  source: verdicts
  fields: {payment: row, bad: amount > 50}
  hold_back: {records: 20}
block: 20
"""


@dataclass(frozen=True)
class Played:
    """What a replay said of itself, and left behind; `platform` still runs."""

    platform: LocalPlatform
    figures: dict[str, Any]
    evidence: EvidenceOfRun

    def inputs(self) -> dict[str, InputsComputed]:
        events = self.evidence.history.events(SCORING.of(MODEL).name, InputsComputed)
        return {event.record_id: event for _, event in events}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, Played]]:
    """The same file twice, each on a platform of its own."""
    folder = tmp_path_factory.mktemp("payments")
    (folder / "definitions.yaml").write_text(DECLARED)
    (folder / "payments.csv").write_text(payments(random.Random(11)))
    with LocalPlatform(folder / "one", any_ports=True) as one:
        first = played(one, folder)
        with LocalPlatform(folder / "other", any_ports=True) as other:
            yield first, played(other, folder)


def payments(draw: random.Random) -> str:
    lines = ["card,shop,terminal,amount"]
    for _ in range(ROWS):
        shop = "" if draw.random() < 0.1 else f"shop-{draw.randrange(SHOPS)}"
        amount = round(draw.uniform(0, 100), 2)
        lines.append(f"card-{draw.randrange(CARDS)},{shop},{draw.randrange(TERMINALS)},{amount}")
    return "\n".join(lines)


def played(platform: LocalPlatform, folder: Path) -> Played:
    said = folder / f"{platform.data.name}.json"
    with pytest.MonkeyPatch.context() as patched, said.open("w") as out:
        patched.setattr("sys.stdout", out)
        files = folder / "definitions.yaml", folder / "payments.csv"
        options = ReplayOptions(*files, json=True, data=platform.data, console=platform.console)
        assert replay.run_replay(options) == 0
    return Played(platform, orjson.loads(said.read_bytes()), gathered(platform.data))


@pytest.mark.timeout(600)
def test_every_record_is_scored_and_no_invariant_is_violated(runs: tuple[Played, Played]) -> None:
    for run in runs:
        model = run.figures["models"][MODEL]
        assert run.figures["records"] == {"published": ROWS, "accepted": ROWS, "rejected": 0, "late": 0}
        assert model["accepted"] == ROWS == model["before_first_model"] + model["scored"]
        assert model["scored"] == model["joined"] > 0
        assert run.evidence.violations() == []


@pytest.mark.timeout(600)
def test_a_record_comes_once_to_each_entity_in_the_partition_of_its_name(runs: tuple[Played, Played]) -> None:
    history = runs[0].evidence.history
    for field in ("terminal", "shop"):
        reads = list(history.events(ENTITY.of(f"payments-{field}").name, RecordRekeyed))
        assert sorted(int(event.record_id) for _, event in reads) == list(range(ROWS))
        places = {event.entity: read.tp.partition for read, event in reads if event.entity is not None}
        assert all(places[e.entity] == read.tp.partition for read, e in reads if e.entity is not None)
        assert set(places.values()) == {0, 1}


@pytest.mark.timeout(600)
def test_two_runs_in_lockstep_compute_and_decide_the_same(runs: tuple[Played, Played]) -> None:
    one, other = runs
    assert len(one.inputs()) == ROWS
    assert one.inputs() == other.inputs()
    decided = decisions(one.evidence.history)
    assert decided == decisions(other.evidence.history)
    assert len(decided[f"VersionPromoted {MODEL}"]) >= 2


@pytest.mark.timeout(600)
def test_tables_and_requests_look_up_each_entity_by_its_own_view(runs: tuple[Played, Played]) -> None:
    urls = runs[0].platform.urls
    at_ms = START_MS + ROWS * STEP_MS
    asked = {"card": "card-1", "shop": "shop-2", "terminal": 3, "amount": 12.5, "at": at_ms}
    eventually(lambda: predict(urls, asked).is_success, 60, "a version answers over HTTP")
    body = predict(urls, asked).json()
    expected: dict[str, Any] = {}
    for view, entity in zip(ALL_VIEWS, ("card-1", "shop-2", "3"), strict=True):
        found = httpx.get(f"{urls['features']}/v1/features/{view}/{entity}", params={"at": at_ms}).json()
        assert found["known"]
        assert found["features"]["n"] > 0
        expected |= {f"{view}.{name}": value for name, value in found["features"].items()}
    assert {name: body["inputs"][name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert body["inputs"]["busy"] == pytest.approx(expected["shop_use.n"] / (expected["card_use.n"] + 1))
    nowhere = predict(urls, {**asked, "shop": None}).json()
    assert (nowhere["inputs"]["shop_use.n"], nowhere["inputs"]["shop_use.last"]) == (0.0, None)
    assert nowhere["inputs"]["terminal_use.n"] == expected["terminal_use.n"]


def predict(urls: dict[str, str], record: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{urls['serving']}/v1/models/{MODEL}/predict", json=record)
