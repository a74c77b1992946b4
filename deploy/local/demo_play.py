"""How the demo's stream is played, block by block: records and labels that are due, a tick, and wait until settled.

One settling a block suffices for equal runs: labels take effect by the tick that names the ends of both topics, and the
decisions of a block are adopted with the next block's tick.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from deploy.local.demo_stage import Stage
from deploy.local.demo_story import Story
from examples.card_fraud.stream import START_MS, Payment, StreamPlan, payments
from shared.contracts import control as c

MODEL, TRANSACTIONS, CHARGEBACKS = "card_fraud", "transactions", "chargebacks"
SOURCES = (TRANSACTIONS, CHARGEBACKS)
BLOCK = 100
BLOCK_IN_SHADOW = 25
BLOCK_IN_CANARY = 5  # so that each step has traffic of its own before the next
DRIFT_AT = 2_200
# The alarm comes within the first run's cool-down, so that the next run waits until many labels are wrong.
LABELS_BREAK_AT = 1_880
AFTER_PROMOTION = 700  # transactions that show how good the promoted version is
AFTER_STOP = 200
CALM = 4_000
LONGEST = 6_000


@dataclass(frozen=True, slots=True)
class Script:
    """What happens in the stream. `labels_break_at`: from there each label says what the one before it should have
    said, until a retraining is asked for and somebody looks, and mends the feed."""

    seed: int = 7
    drift_at: int | None = DRIFT_AT
    labels_break_at: int | None = None

    @classmethod
    def of(cls, seed: int, *, drift: bool, bad_candidate: bool) -> Script:
        """The three stories: a drift, none, and a feed of labels that breaks."""
        if bad_candidate:
            return cls(seed, None, LABELS_BREAK_AT)
        return cls(seed, DRIFT_AT if drift else None)

    def stream(self) -> Iterator[Payment]:
        return payments(StreamPlan(self.seed, LONGEST, drift_at=self.drift_at))

    def drifted(self) -> frozenset[str]:
        """Ids of the transactions from the drift on."""
        since = LONGEST if self.drift_at is None else self.drift_at
        return frozenset(str(payment.transaction["transaction_id"]) for payment in islice(self.stream(), since, None))

    def breaks(self, story: Story, transactions: int) -> bool:
        """Whether the feed of labels is broken, so many transactions into the stream."""
        asked = any(event.reason is c.RunReason.DRIFT for event in story.all(c.RunRequested))
        return self.labels_break_at is not None and transactions >= self.labels_break_at and not asked

    def is_over(self, story: Story, transactions: int) -> bool:
        """Whether everything that can be told has been, so many transactions into the stream."""
        if self.labels_break_at is not None:
            ended = _transactions_at(story, c.RolloutEnded, lambda event: True)
            ended = ended or _transactions_at(
                story, c.VersionRegistered, lambda e: bool(e.version > 1 and not e.gate_passed)
            )
            return ended is not None and transactions >= ended + AFTER_STOP
        if self.drift_at is None:
            return transactions >= CALM
        promoted = _transactions_at(story, c.VersionPromoted, lambda event: event.by == "rollout")
        return promoted is not None and transactions >= promoted + AFTER_PROMOTION


@dataclass(slots=True)
class Feed:
    """The labels that are on their way, by the time at which they are known."""

    broken: bool = False
    _held: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list[tuple[int, str, dict[str, Any]]])
    _before: int = 0

    def hold(self, payment: Payment) -> None:
        heapq.heappush(self._held, (payment.label_ms, payment.chargeback["chargeback_id"], payment.chargeback))

    def due(self, by_ms: int) -> Iterator[dict[str, Any]]:
        """The labels known by then. A broken feed puts each verdict on the next label."""
        while self._held and self._held[0][0] <= by_ms:
            label = heapq.heappop(self._held)[2]
            truth = label["is_fraud"]
            yield {**label, "is_fraud": self._before} if self.broken else label
            self._before = truth

    @property
    def last_ms(self) -> int:
        """When the last one is known; 0 if none is held."""
        return max((label_ms for label_ms, _, _ in self._held), default=0)


def play(stage: Stage, script: Script, story: Story, sent: Callable[[int], None], matures_after_ms: int) -> int:
    """Play it, calling `sent(transactions)` before each block's settling; how many transactions there were."""
    stream, feed, transactions, end_ms = script.stream(), Feed(), 0, START_MS
    stage.tick(START_MS, SOURCES)
    stage.settle()
    while not script.is_over(story, transactions):
        block = list(islice(stream, _block(stage)))
        if not block:
            break
        feed.broken = script.breaks(story, transactions)
        end_ms = block[-1].time_ms
        for payment in block:
            stage.publish(TRANSACTIONS, payment.transaction)
            feed.hold(payment)
        transactions += len(block)
        sent(transactions)
        _labels_and_tick(stage, feed, end_ms)
    last_ms = max(feed.last_ms, end_ms)
    _labels_and_tick(stage, feed, last_ms)
    stage.tick(last_ms + matures_after_ms + 1, SOURCES)
    stage.settle()
    return transactions


def _block(stage: Stage) -> int:
    rollout = stage.history.newest.model(MODEL).rollout
    if rollout is None:
        return BLOCK
    return BLOCK_IN_CANARY if rollout.step else BLOCK_IN_SHADOW


def _labels_and_tick(stage: Stage, feed: Feed, end_ms: int) -> None:
    for label in feed.due(end_ms):
        stage.publish(CHARGEBACKS, label)
    stage.tick(end_ms, SOURCES)
    stage.settle()


def _transactions_at(story: Story, kind: type[Any], chosen: Callable[[Any], bool]) -> int | None:
    return next(
        (
            chapter.transactions
            for chapter in story.chapters
            if isinstance(chapter.event, kind) and chosen(chapter.event)
        ),
        None,
    )
