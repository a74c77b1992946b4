"""Made-up orders and what became of them, a JSON record a line: `python -m examples.orders.generate orders 600`.

Records are dated now. The same count and seed give the same orders, so that `deliveries` fits what `orders` has sent.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime


def orders(count: int, seed: int, at: str) -> Iterator[dict[str, object]]:
    """Orders of 40 customers. Far ones, weekends and the cheap carrier tend to be late."""
    chance = random.Random(seed)
    for number in range(count):
        distance_km = round(chance.lognormvariate(4.0, 0.8), 1)
        carrier = chance.choice(("swift", "steady", "cheap"))
        weekend = chance.random() < 2 / 7
        odds = distance_km / 100 + {"swift": -1.0, "steady": 0.0, "cheap": 1.5}[carrier] + 1.0 * weekend
        yield {
            "customer": f"customer-{chance.randrange(40)}",
            "order": f"order-{seed}-{number}",
            "at": at,
            "distance_km": distance_km,
            "carrier": carrier,
            "weekend": weekend,
            "late": chance.gauss(odds, 0.5) > 1.2,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description="Made-up orders or their deliveries, a JSON record a line.")
    parser.add_argument("what", choices=("orders", "deliveries"))
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    for order in orders(asked.count, asked.seed, now):
        late = order.pop("late")
        record = order if asked.what == "orders" else {"order": order["order"], "at": now, "late": late}
        sys.stdout.write(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
