"""A search that takes too long is given up, and says so."""

from __future__ import annotations

import pytest

from services.console.prediction_search import SearchTooLong, find_prediction
from shared.contracts.envelope import encode
from shared.contracts.identity import derived_id
from shared.contracts.topics import PREDICTIONS
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import MemoryBroker
from tests import builders as b
from tests.conformance.log_contract import Acks


def test_the_search_has_a_limit() -> None:
    broker = MemoryBroker()
    topic = PREDICTIONS.of(b.MODEL).name
    broker.admin().create(topic, 1, {})
    made = b.message(b.prediction(record_id="r1"), id=derived_id("test", "prediction"))
    encoded, writer = encode(made), broker.writer()
    writer.send(TopicPartition(topic, 0), encoded.key, encoded.value, encoded.headers, Acks())
    writer.flush(5.0)
    found = find_prediction(broker, b.MODEL, "r1", within_s=5.0)
    assert found is not None
    assert found[0].id == made.id
    with pytest.raises(SearchTooLong, match=rf"entries of {topic} were read in 0 s"):
        find_prediction(broker, b.MODEL, "r2", within_s=0.0)
