"""A seeded stream with everything that goes wrong in one: disorder, repetitions, late and bad records, slow labels.

Payments of some cards, each with the truth about it later: whether it was bad, and what it cost. On the way the meaning
turns round: what was good is bad.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from shared.contracts.definitions import FeatureView, Model, Source
from shared.runtime.partitioning import partition_of

T0_MS = 1_690_000_000_000
STEP_MS = 10_000
LATENESS_MS = 30_000
MATURES_MS = 120_000
PAYMENTS, TRUTHS, VIEW, MODEL = "payments", "truths", "card_use", "fraud"
PARTITIONS = 2

Record = dict[str, JsonValue]


def definitions(**model: Any) -> tuple[Source | FeatureView | Model, ...]:
    """Two sources, a view and a model that is fitted early, judged quickly and renewed on evidence."""
    time = {"clock": "events", "allowed_lateness": "30s"}
    payments = {
        "name": PAYMENTS,
        "key": "card",
        "id": "payment",
        "time": {"field": "at", **time},
        "fields": {"payment": "string", "card": "string", "amount": {"type": "number", "minimum": 0}, "risk": "number"},
        "partitions": PARTITIONS,
    }
    truths = {
        "name": TRUTHS,
        "key": "payment",
        "id": "truth",
        "time": {"field": "known_at", **time},
        "fields": {
            "truth": "string", "payment": "string", "bad": "boolean", "loss": {"type": "number", "optional": True},
        },
    }  # fmt: skip
    view = {
        "name": VIEW,
        "source": PAYMENTS,
        "entity": "card",
        "ttl": "1h",
        "features": {
            "amount_mean": {"aggregate": "mean", "of": "amount", "over": "10m"},
            "count": {"aggregate": "count", "over": "5m"},
            "since_last": {"aggregate": "time_since_last"},
        },
    }
    fraud = {
        "name": MODEL,
        "scores": PAYMENTS,
        "task": "binary",
        "inputs": {"fields": ["amount", "risk"], "derived": {"ratio": "amount / (risk + 2)"}, "views": [VIEW]},
        "label": {
            "source": TRUTHS,
            "field": "bad",
            "joins": "payment",
            "matures_after": "2m",
            "expires_after": "10m",
        },
        "training": {"search": {"families": ["linear"], "trials": 1}, "minimum_rows": 120, "window": 140},
        "monitor": {"expected_run_length": 2_000, "reference_outcomes": 50, "report_every": 20},
        "retrain": {"policy": "evidence", "horizon": 2_000, "cost": 1, "cooldown": "10m", "budget_per_day": 50},
        "rollout": {"steps": [20, 100], "alpha": 0.2, "deadline": "1h", "watch": "5m", "split": "record"},
        **model,
    }
    return Source.written(payments), Source.written(truths), FeatureView.written(view), Model.written(fraud)


@dataclass(frozen=True, slots=True)
class Sent:
    """One record of one source, in the partition that its client chose."""

    source: str
    partition: int
    record: Record | bytes


@dataclass(slots=True)
class Block:
    """What is sent together: records, then the truths that are due by `end_ms`."""

    end_ms: int
    records: list[Sent] = field(default_factory=list[Sent])
    truths: list[Sent] = field(default_factory=list[Sent])


def blocks(seed: int, count: int = 30, size: int = 12, careless: bool = False, turns: float = 0.4) -> list[Block]:
    """`careless`: clients choose any partition, so that records of a key mix; else the key does, as in a replay.

    `turns`: after which share of them the meaning turns round.
    """
    turns_ms = T0_MS + int(count * size * turns) * STEP_MS
    stream = Stream(random.Random(f"workload {seed}"), careless, lambda at_ms: at_ms >= turns_ms)
    made = [stream.block(size) for _ in range(count)]
    return [*made, stream.last_truths()]


def endless(seed: int, turns_every_ms: int) -> Stream:
    """For as long as one likes; what was good is bad and good again, by turns. Clients choose any partition."""
    draw = random.Random(f"endless workload {seed}")
    return Stream(draw, careless=True, turned=lambda at_ms: (at_ms - T0_MS) // turns_every_ms % 2 == 1)


class Stream:
    """Blocks, one after the other. `turned`: whether at that time what was good is bad."""

    def __init__(self, rng: random.Random, careless: bool, turned: Callable[[int], bool]) -> None:
        self._rng, self._careless, self._turned = rng, careless, turned
        self._now_ms, self._number = T0_MS, 0
        self._held: list[tuple[int, Record]] = []
        self._sent: list[Sent] = []

    def block(self, size: int) -> Block:
        """So many payments, and the truths that are due by then."""
        block = Block(self._now_ms + size * STEP_MS)
        for _ in range(size):
            block.records += self._payment()
            self._now_ms += STEP_MS
        block.truths = list(self._due(block.end_ms))
        return block

    def last_truths(self) -> Block:
        """The truths still held back, and time enough for everything to mature and expire."""
        end_ms = self._now_ms + 2 * MATURES_MS
        return Block(end_ms, truths=list(self._due(end_ms)))

    def _payment(self) -> list[Sent]:
        rng = self._rng
        self._number += 1
        at_ms = self._now_ms - rng.choice((0, 0, 0, rng.randrange(LATENESS_MS)))
        if rng.random() < 0.03:
            at_ms -= 4 * LATENESS_MS  # behind the lateness
        name, card = f"p{self._number:04}", f"c{rng.randrange(6)}"
        amount, risk = round(rng.expovariate(1 / 50), 2), round(rng.gauss(0, 1), 3)
        record: Record = {"payment": name, "card": card, "at": at_ms, "amount": amount, "risk": risk}
        loss = (risk + rng.gauss(0, 0.4)) * (-1 if self._turned(at_ms) else 1)
        self._hold(name, at_ms, loss)
        sent = [Sent(PAYMENTS, self._partition(card), record)]
        if rng.random() < 0.05:
            sent.append(sent[0])  # a client that sends twice
        if rng.random() < 0.05 and self._sent:
            sent.append(rng.choice(self._sent))  # and one that does so much later
        if rng.random() < 0.04:
            sent.append(Sent(PAYMENTS, rng.randrange(PARTITIONS), self._bad_record()))
        self._sent.append(sent[0])
        return sent

    def _partition(self, key: str) -> int:
        return self._rng.randrange(PARTITIONS) if self._careless else partition_of(key.encode(), PARTITIONS)

    def _bad_record(self) -> Record | bytes:
        name = f"x{self._number:04}"
        good: Record = {"payment": name, "card": "c0", "at": self._now_ms, "amount": 1.0, "risk": 0.0}
        return self._rng.choice(
            (
                b'{"half',
                b"\xff\xfe",
                {**good, "amount": -1},
                {**good, "amount": "much"},
                {**good, "card": None},
                {"at": 1},
            )
        )

    def _hold(self, payment: str, at_ms: int, loss: float) -> None:
        """Most truths come in time; some never, some late, some twice with another word."""
        rng, draw = self._rng, self._rng.random()
        if draw < 0.05:
            return
        delay_ms = rng.randrange(MATURES_MS // 2, MATURES_MS)
        if draw < 0.10:
            delay_ms = MATURES_MS + rng.randrange(MATURES_MS)
        self._held.append((at_ms + delay_ms, self._truth(payment, at_ms + delay_ms, loss, "a")))
        if draw > 0.92:
            later_ms = at_ms + delay_ms + rng.randrange(2 * MATURES_MS)
            self._held.append((later_ms, self._truth(payment, later_ms, -loss, "b")))

    def _truth(self, payment: str, known_ms: int, loss: float, which: str) -> Record:
        truth: Record = {"truth": f"{payment}{which}", "payment": payment, "known_at": known_ms}
        return {**truth, "bad": loss > 0, "loss": round(loss, 3)}

    def _due(self, until_ms: int) -> Iterator[Sent]:
        due = sorted((held for held in self._held if held[0] <= until_ms), key=lambda held: (held[0], str(held[1])))
        self._held = [held for held in self._held if held[0] > until_ms]
        for known_ms, truth in due:
            if self._rng.random() < 0.03:
                # It was known then, and comes much too late.
                self._held.append((known_ms + 3 * MATURES_MS, truth))
                continue
            yield Sent(TRUTHS, 0, truth)
            if self._rng.random() < 0.04:
                yield Sent(TRUTHS, 0, truth)
