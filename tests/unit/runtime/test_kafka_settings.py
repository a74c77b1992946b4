"""Settings of somebody else's cluster."""

from __future__ import annotations

import pytest

from shared.runtime.kafka_settings import kafka_settings
from shared.runtime.settings import SettingsInvalid


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA_BOOTSTRAP", "a:1, b")
    monkeypatch.setenv("HEADRACE_KAFKA_TOPIC_PREFIX", "team.")
    settings = kafka_settings()
    assert settings.addresses() == [("a", 1), ("b", 9092)]
    assert settings.topic_prefix == "team."


def test_a_variable_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA_REPLICATION_FACTOR", "many")
    with pytest.raises(SettingsInvalid, match="HEADRACE_KAFKA_REPLICATION_FACTOR"):
        kafka_settings()


def test_sasl_is_given_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(SettingsInvalid, match="HEADRACE_KAFKA_SASL_MECHANISM"):
        kafka_settings()
