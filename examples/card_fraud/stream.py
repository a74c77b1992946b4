"""Card transactions and their late labels, made from a seed: `python -m examples.card_fraud.stream --help`.

One transaction in five is a fraudster's. At first fraudsters buy dear things abroad and at risky merchants. From
`drift_at` on they test cards with small amounts at respectable web shops, while honest people set out on journeys and
look like the fraudsters of before: the same inputs now mean something else (concept drift), and the inputs move too.
The two overlap, so that the best model errs as well.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

START_MS = 1_672_617_600_000  # 2023-01-02T00:00:00Z
MEAN_GAP_MS = 60_000
CATEGORIES = ("food", "fuel", "travel", "web", "electronics")
FRAUD_RATE = 0.2
INCONSPICUOUS = 0.15  # of fraud, at all times: it looks like anybody's spending
TESTERS = 0.65  # of the other fraud, after the change
TRAVELLERS = 0.12  # of honest transactions, after the change
EARLIEST_LABEL_MS, LATEST_LABEL_MS = 30 * 60_000, 85 * 60_000


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """`drift_at`: the ordinal of the first transaction after the change; None: nothing changes."""

    seed: int = 7
    transactions: int = 7_000
    cards: int = 250
    drift_at: int | None = 3_500


@dataclass(frozen=True, slots=True)
class Payment:
    """A record of `transactions` and the record of `chargebacks` that tells the truth about it, `label_ms`."""

    time_ms: int
    transaction: dict[str, Any]
    label_ms: int
    chargeback: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Card:
    card_id: str
    log_amount: float
    tastes: tuple[float, ...] = field(default=())


def payments(plan: StreamPlan) -> Iterator[Payment]:
    """The stream in order of event time: the same plan gives the same payments."""
    draw = random.Random(plan.seed)
    cards = [_card(draw, number) for number in range(plan.cards)]
    now_ms = START_MS
    for ordinal in range(plan.transactions):
        now_ms += max(1, round(draw.expovariate(1.0 / MEAN_GAP_MS)))
        card, fraud = draw.choice(cards), draw.random() < FRAUD_RATE
        drifted = plan.drift_at is not None and ordinal >= plan.drift_at
        yield _payment(draw, f"{plan.seed}-{ordinal:06d}", now_ms, card, fraud, drifted)


def _payment(draw: random.Random, number: str, now_ms: int, card: _Card, fraud: bool, drifted: bool) -> Payment:
    transaction_id = f"t-{number}"
    what = _spending(draw, card, fraud, drifted)
    label_ms = now_ms + draw.randrange(EARLIEST_LABEL_MS, LATEST_LABEL_MS)
    return Payment(
        now_ms,
        {"transaction_id": transaction_id, "card_id": card.card_id, "at": now_ms, **what},
        label_ms,
        {"chargeback_id": f"c-{number}", "transaction_id": transaction_id, "at": label_ms, "is_fraud": int(fraud)},
    )


def _spending(draw: random.Random, card: _Card, fraud: bool, drifted: bool) -> dict[str, Any]:
    if fraud and draw.random() < INCONSPICUOUS:
        return _bought(draw, card.log_amount, 0.6, card.tastes, risk=(2.0, 5.0), abroad=0.05)
    if fraud and drifted and draw.random() < TESTERS:
        return _bought(draw, 1.4, 0.6, (0.25, 0.05, 0.0, 0.65, 0.05), risk=(2.0, 8.0), abroad=0.05)
    if fraud:
        return _bought(draw, card.log_amount + 1.5, 0.7, (0.05, 0.05, 0.3, 0.25, 0.35), risk=(4.0, 3.0), abroad=0.5)
    if drifted and draw.random() < TRAVELLERS:
        return _bought(draw, card.log_amount + 1.2, 0.7, (0.15, 0.05, 0.5, 0.05, 0.25), risk=(3.5, 3.0), abroad=0.7)
    return _bought(draw, card.log_amount, 0.6, card.tastes, risk=(2.0, 5.0), abroad=0.05)


def _bought(
    draw: random.Random,
    log_amount: float,
    spread: float,
    tastes: tuple[float, ...],
    risk: tuple[float, float],
    abroad: float,
) -> dict[str, Any]:
    return {
        "amount": round(math.exp(draw.gauss(log_amount, spread)), 2),
        "category": draw.choices(CATEGORIES, tastes)[0],
        "merchant_risk": round(draw.betavariate(*risk), 3),
        "abroad": draw.random() < abroad,
    }


def _card(draw: random.Random, number: int) -> _Card:
    tastes = tuple(draw.gammavariate(shape, 1.0) for shape in (4.0, 1.5, 0.7, 2.0, 0.8))
    return _Card(f"card-{number:03d}", draw.gauss(3.3, 0.5), tastes)


def main() -> None:
    """Print records as newline-delimited JSON, one source at a time."""
    parser = argparse.ArgumentParser(description="Card transactions, or their labels, as newline-delimited JSON.")
    parser.add_argument("--source", choices=("transactions", "chargebacks"), default="transactions")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=1_000, help="how many transactions")
    parser.add_argument("--drift-at", type=int, default=None, help="where the fraudsters change; never, if left out")
    asked = parser.parse_args()
    made = list(payments(StreamPlan(asked.seed, asked.count, drift_at=asked.drift_at)))
    if asked.source == "transactions":
        records = [payment.transaction for payment in made]
    else:
        records = [payment.chargeback for payment in sorted(made, key=lambda payment: payment.label_ms)]
    for record in records:
        print(json.dumps(record))


if __name__ == "__main__":
    main()
