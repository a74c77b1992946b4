"""With which settings topics are created."""

from __future__ import annotations

import pytest

from services.features.settings import FeaturesSettings
from shared.contracts.topics import CONTROL, FEATURES, INTAKE, REJECTED, dead_letters
from shared.runtime.log import MAX_RECORD_BYTES
from shared.runtime.topic_settings import MAX_MESSAGE_BYTES, topic_config
from tests import builders as b


@pytest.mark.parametrize("topic", [CONTROL.name, INTAKE.of(b.SOURCE).name, REJECTED.name, dead_letters("ingestion")])
def test_a_topic_of_ours_takes_what_we_write_whatever_the_broker_says(topic: str) -> None:
    assert int(topic_config(topic, b.definitions())["max.message.bytes"]) == MAX_MESSAGE_BYTES > MAX_RECORD_BYTES


def test_how_large_users_records_may_be_is_left_to_their_cluster() -> None:
    assert "max.message.bytes" not in topic_config(b.SOURCE, b.definitions())


def test_decisions_never_expire_and_no_topic_is_compacted() -> None:
    definitions = b.definitions()
    assert topic_config(CONTROL.name, definitions)["retention.ms"] == "-1"
    assert {topic_config(topic, definitions)["cleanup.policy"] for topic in definitions.partitions} == {"delete"}


def test_the_log_of_a_table_is_kept_for_longer_than_two_copies_however_long_its_rows_live() -> None:
    definitions = b.definitions(b.view(ttl="400d"))
    kept_ms = int(topic_config(FEATURES.of(b.VIEW).name, definitions)["retention.ms"])
    assert kept_ms < definitions.views[b.VIEW].ttl
    [most_s] = [
        bound.le for bound in FeaturesSettings.model_fields["copy_tables_every_s"].metadata if hasattr(bound, "le")
    ]
    assert kept_ms > 2 * most_s * 1_000 >= 2 * FeaturesSettings().copy_tables_every_s * 1_000
