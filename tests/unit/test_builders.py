"""Every builder gives a valid thing, and every event that it gives survives a log."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.contracts.definition_checks import problems
from shared.contracts.envelope import Event, Message, decode, encode
from shared.contracts.replay_checks import replay_problems
from shared.contracts.topology import NO_DEFINITIONS
from tests import builders as b

EVENTS: list[Callable[[], Event]] = [
    *(b.intake, b.accepted, b.rejected, b.computed, b.windows, b.prediction, b.label, b.scored, b.matured, b.revised),
    *(b.unused, b.founded, b.tick, b.applied, b.run_requested, b.run_progressed, b.run_finished, b.run_failed),
    *(b.registered, b.approved, b.promoted, b.rollout_started, b.rollout_advanced, b.rollout_ended, b.rolled_back),
    *(b.watch_ended, b.replica_ready, b.drift, b.verdict, b.quality),
]


@pytest.mark.parametrize("build", EVENTS, ids=lambda build: build.__name__)
def test_every_event_reads_back_as_it_was_written(build: Callable[[], Event]) -> None:
    written = b.message(build(), key="c1", sequence=3, control=7)
    encoded = encode(written)

    read = decode(encoded.key, encoded.value, encoded.headers)

    assert isinstance(read, Message)
    assert read == written


def test_the_default_definitions_fit_together() -> None:
    assert problems(NO_DEFINITIONS, b.declared()) == []
    assert list(replay_problems(b.replay(), b.definitions())) == []


def test_an_id_follows_from_the_event() -> None:
    assert b.message(b.accepted()).id == b.message(b.accepted()).id
    assert b.message(b.accepted()).id != b.message(b.accepted(record_id="t2")).id
