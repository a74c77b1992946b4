"""The payments of `workload`, each at a shop and a terminal: views by three entities, several of them in one model.

Some payments name no shop. Some definitions come while records are on their way.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from shared.contracts.definitions import FeatureView, Model, Source
from tests.scenarios import workload
from tests.scenarios.workload import PAYMENTS, VIEW, Block, Sent

SHOP_VIEW, SPEND_VIEW, TERMINAL_VIEW, CARD_SPEND_VIEW = "shop_use", "shop_spend", "terminal_use", "card_spend"
OWN_LOG_MODEL, SHOP_MODEL, LATER_MODEL = "by_card", "by_shop", "by_all"
SHOPS, TERMINALS = 16, 15
PARTITIONS = 3
Definitions = tuple[Source | FeatureView | Model, ...]


def definitions(ttl: str = "1h", **model: Any) -> Definitions:
    """Views by card, shop and terminal. One model reads all three, one ends on the way, one needs its own log only."""
    payments, truths, card_view, fraud = workload.definitions()
    assert isinstance(payments, Source)
    assert isinstance(fraud, Model)
    fields = {
        **payments.model_dump(mode="json")["fields"],
        "shop": {"type": "string", "optional": True},
        "terminal": "integer",
    }
    source = Source.written({**payments.model_dump(mode="json"), "fields": fields, "partitions": PARTITIONS})
    derived = {
        "ratio": "amount / (risk + 2)",
        "busy": f"{SHOP_VIEW}.count / ({VIEW}.count + {TERMINAL_VIEW}.count + 1)",
    }
    inputs = {"fields": ["amount", "risk"], "derived": derived, "views": [TERMINAL_VIEW, VIEW, SHOP_VIEW]}
    return (
        source,
        truths,
        card_view,
        _view(SHOP_VIEW, "shop", ttl, latest={"aggregate": "last", "of": "risk"}),
        _view(TERMINAL_VIEW, "terminal", ttl, most={"aggregate": "max", "of": "amount", "over": "4m"}),
        Model.written({**fraud.model_dump(mode="json"), "inputs": inputs, **model}),
        unanswered(SHOP_MODEL, [SHOP_VIEW]),
        unanswered(OWN_LOG_MODEL, [VIEW]),
    )


def first_half() -> Definitions:
    """Without what comes `later`: no view by terminal, and a short memory, so that entities are forgotten."""
    inputs = {"fields": ["amount", "risk"], "derived": {}, "views": [SHOP_VIEW, VIEW]}
    left_out = (TERMINAL_VIEW,)
    return tuple(one for one in definitions("5m", inputs=inputs) if one.name not in left_out)


def later() -> Definitions:
    """Further views by card and shop, amid their logs; an entity at the end of the way; a model that reads all."""
    spend = {"aggregate": "sum", "of": "amount", "over": "3m"}
    return (
        _view(SPEND_VIEW, "shop", "5m", spend=spend),
        _view(CARD_SPEND_VIEW, "card", "5m", spend=spend),
        _view(TERMINAL_VIEW, "terminal", "5m"),
        unanswered(LATER_MODEL, [VIEW, CARD_SPEND_VIEW, SPEND_VIEW, TERMINAL_VIEW, SHOP_VIEW]),
    )


def unanswered(name: str, views: list[str]) -> Model:
    """A model whose inputs are computed, and which is never fitted."""
    _, _, _, fraud = workload.definitions(
        name=name,
        inputs={"fields": ["risk"], "views": views},
        training={"search": {"families": ["linear"], "trials": 1}, "minimum_rows": 100_000},
        retrain={"policy": "never"},
    )
    assert isinstance(fraud, Model)
    return fraud


def _view(name: str, entity: str, ttl: str, **features: Any) -> FeatureView:
    common = {
        "count": {"aggregate": "count", "over": "5m"},
        "amount_mean": {"aggregate": "mean", "of": "amount", "over": "5m"},
        "since_last": {"aggregate": "time_since_last"},
    }
    view = {"name": name, "source": PAYMENTS, "entity": entity, "ttl": ttl, "features": {**common, **features}}
    return FeatureView.written(view)


def blocks(seed: int, count: int = 30, size: int = 12, careless: bool = False, turns: float = 0.4) -> list[Block]:
    """`careless`: a few shops and terminals in any order; else a block holds each of them once, as in a replay."""
    places = _Places(random.Random(f"places {seed}"), careless)
    made = workload.blocks(seed, count, size, careless, turns)
    return [replace(block, records=list(places.of(block.records))) for block in made]


class _Places:
    """Where each payment was made: the same place when a client sends it again."""

    def __init__(self, rng: random.Random, careless: bool) -> None:
        self._rng, self._careless = rng, careless
        self._known: dict[JsonValue, dict[str, JsonValue]] = {}

    def of(self, records: list[Sent]) -> Iterator[Sent]:
        shops, terminals = self._drawn("shop-", SHOPS), self._drawn("", TERMINALS)
        for sent in records:
            value = sent.record
            if isinstance(value, bytes) or not str(value.get("payment")).startswith("p"):
                yield sent
                continue
            if value["payment"] not in self._known:
                self._known[value["payment"]] = self._place(next(shops), int(next(terminals)))
            yield replace(sent, record={**value, **self._known[value["payment"]]})

    def _drawn(self, prefix: str, many: int) -> Iterator[str]:
        if not self._careless:
            yield from (f"{prefix}{n}" for n in self._rng.sample(range(many), many))
        while self._careless:
            yield f"{prefix}{self._rng.randrange(4)}"

    def _place(self, shop: str, terminal: int) -> dict[str, JsonValue]:
        """No shop at all, an empty text or null are one and the same; 7.0 is terminal 7."""
        draw = self._rng.random()
        whole: JsonValue = float(terminal) if self._rng.random() < 0.2 else terminal
        if draw < 0.05:
            return {"terminal": whole}
        return {"terminal": whole, "shop": "" if draw < 0.08 else None if draw < 0.12 else shop}
