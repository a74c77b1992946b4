"""docs/settings.md: its tables are what the settings are, and no variable is left out."""

from __future__ import annotations

import re

import pytest

from deploy.documents.generate import SERVICES, TARGET, settings_document, variables
from shared.runtime.kafka_settings import KafkaEnvironment, kafka_settings
from shared.runtime.log import MAX_RECORD_BYTES
from shared.runtime.settings import DEFAULT_PORTS, ServiceSettings
from tests.unit.docs.markdown import DOCS, blocks, rows

DOCUMENT = TARGET.read_text()
CODE = [
    file.read_text() for part in ("services", "shared", "deploy") for file in sorted((DOCS.parent / part).rglob("*.py"))
]
VARIABLE = re.compile(r"HEADRACE_[A-Z_]*[A-Z]")


def test_the_committed_tables_are_what_the_code_makes() -> None:
    assert settings_document(DOCUMENT) == DOCUMENT, "run `make docs` and commit docs/settings.md"
    assert SERVICES.keys() == DEFAULT_PORTS.keys()


def test_every_setting_has_a_meaning_and_stands_in_a_table() -> None:
    told = {row.cells[0].strip("`"): row.cells[2] for row in rows(DOCUMENT) if row.cells[0].startswith("`HEADRACE_")}
    declared = {name for one in (ServiceSettings, KafkaEnvironment, *SERVICES.values()) for name in variables(one)}
    assert declared <= told.keys()
    assert [name for name, meaning in told.items() if meaning in ("", "None")] == []


def test_every_variable_that_the_code_names_is_told_and_the_other_way_round() -> None:
    told = {row.cells[0].strip("`") for row in rows(DOCUMENT)}
    declared = {name for one in (ServiceSettings, KafkaEnvironment, *SERVICES.values()) for name in variables(one)}
    named = {name for text in CODE for name in VARIABLE.findall(text)} - {"HEADRACE_KAFKA"}
    assert {name for name in told if name.startswith("HEADRACE_")} == declared | named


def test_the_example_of_somebody_elses_cluster_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = blocks(DOCUMENT, "sh")
    for line in example.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        assert name in variables(KafkaEnvironment)
        monkeypatch.setenv(name, value)
    settings = kafka_settings()
    assert settings.addresses() == [("broker-1.example.org", 9093), ("broker-2.example.org", 9093)]
    assert (settings.security_protocol, settings.replication_factor) == ("SASL_SSL", 3)
    assert f"`{settings.topic_prefix}payments`" in DOCUMENT
    assert f"{MAX_RECORD_BYTES:,}" in DOCUMENT
