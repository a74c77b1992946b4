"""The generated card transactions: equal from equal seeds, labels in time, a drift planted where it is said to be."""

from __future__ import annotations

from pathlib import Path

from deploy.local.demo_play import Feed
from examples.card_fraud.stream import StreamPlan, payments
from shared.contracts.definitions import Model, Source
from shared.runtime.definition_files import load

DEFINITIONS = Path(__file__).parents[3] / "examples" / "card_fraud" / "definitions.yaml"


def test_the_same_seed_gives_the_same_stream_and_another_seed_another() -> None:
    plan = StreamPlan(3, 200)
    assert list(payments(plan)) == list(payments(plan))
    assert list(payments(plan)) != list(payments(StreamPlan(4, 200)))


def test_the_drift_changes_nothing_before_it() -> None:
    drifting, calm = list(payments(StreamPlan(3, 400, drift_at=200))), list(payments(StreamPlan(3, 400, drift_at=None)))
    assert drifting[:200] == calm[:200]
    assert drifting[200:] != calm[200:]


def test_after_the_drift_fraud_is_cheap_where_it_was_dear() -> None:
    made = list(payments(StreamPlan(3, 8_000, drift_at=4_000)))

    def mean_of_fraud(span: slice) -> float:
        amounts = [p.transaction["amount"] for p in made[span] if p.chargeback["is_fraud"]]
        assert 0.17 < len(amounts) / 4_000 < 0.23
        return sum(amounts) / len(amounts)

    assert mean_of_fraud(slice(4_000, 8_000)) < 0.7 * mean_of_fraud(slice(0, 4_000))


def test_records_fit_their_sources_and_labels_come_before_they_are_taken_for_missing() -> None:
    published = load(DEFINITIONS).published
    sources = {d.name: d for d in published if isinstance(d, Source)}
    [model] = [d for d in published if isinstance(d, Model)]
    times = []
    for payment in payments(StreamPlan(9, 500)):
        assert payment.transaction.keys() == {*sources["transactions"].fields, "at"}
        assert payment.chargeback.keys() == {*sources["chargebacks"].fields, "at"}
        assert 0 < payment.label_ms - payment.time_ms < model.label.matures_after
        times.append(payment.time_ms)
    assert times == sorted(set(times))


def test_a_broken_feed_puts_each_verdict_on_the_next_label() -> None:
    made = list(payments(StreamPlan(5, 300)))
    whole, broken = Feed(), Feed(broken=True)
    for payment in made:
        whole.hold(payment)
        broken.hold(payment)
    last_ms = whole.last_ms
    truth, said = list(whole.due(last_ms)), list(broken.due(last_ms))
    assert [label["transaction_id"] for label in said] == [label["transaction_id"] for label in truth]
    assert [label["is_fraud"] for label in said[1:]] == [label["is_fraud"] for label in truth[:-1]]
    assert whole.last_ms == 0
