from __future__ import annotations

import json

import pytest

from deploy.local.log_lines import render

_WARNING = json.dumps(
    {"timestamp": "2026-03-01T10:11:12.5Z", "level": "warning", "event": "broker gone", "port": 9092, "host": "here"}
)


def test_a_json_line_becomes_time_level_event_and_fields() -> None:
    assert render(_WARNING, verbose=False) == "10:11:12 warning broker gone port=9092 host=here"


@pytest.mark.parametrize(("level", "shown"), [("debug", False), ("info", False), ("warning", True), ("error", True)])
def test_only_warnings_and_above_are_shown_unless_verbose(level: str, shown: bool) -> None:
    line = json.dumps({"level": level, "event": "it"})
    assert (render(line, verbose=False) is not None) == shown
    assert render(line, verbose=True) is not None


@pytest.mark.parametrize("line", ["plain text", "{not json", '["list"]'])
def test_a_line_that_is_no_json_object_is_shown_as_it_is_when_verbose(line: str) -> None:
    assert render(line, verbose=True) == line
    assert render(line, verbose=False) is None


def test_a_line_without_time_or_with_an_unknown_level_is_shown() -> None:
    assert render('{"level": "odd", "event": "it"}', verbose=False) == "--:--:-- odd     it"
