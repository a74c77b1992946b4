"""Typed topics: who belongs where, and names that lead back to their subject."""

from __future__ import annotations

import pytest

from shared.contracts import flow
from shared.contracts.envelope import Event, event_types
from shared.contracts.topics import (
    CONTROL,
    ENTITY,
    FEATURES,
    INTAKE,
    JOINS,
    OUTCOMES,
    PREDICTIONS,
    RECORDS,
    REJECTED,
    SCORING,
    TopicFamily,
    WrongEvent,
    dead_letters,
)
from tests import builders as b

FAMILIES = [INTAKE, RECORDS, ENTITY, SCORING, FEATURES, PREDICTIONS, JOINS, OUTCOMES]


@pytest.mark.parametrize(
    ("family", "event"),
    [
        (INTAKE, b.intake()),
        (RECORDS, b.accepted()),
        (ENTITY, b.rekeyed()),
        (SCORING, b.computed()),
        (FEATURES, b.windows()),
        (PREDICTIONS, b.prediction()),
        (JOINS, b.prediction()),
        (JOINS, b.label()),
        (OUTCOMES, b.scored()),
        (OUTCOMES, b.matured()),
        (OUTCOMES, b.revised()),
        (OUTCOMES, b.unused()),
    ],
)
def test_an_event_is_admitted_to_the_topic_of_its_kind(family: TopicFamily, event: Event) -> None:
    family.of("x").admit(event)
    with pytest.raises(WrongEvent, match=r"does not belong into topic control\.v1"):
        CONTROL.admit(event)


@pytest.mark.parametrize("event", [b.founded(), b.tick(), b.applied(), b.promoted(), b.verdict(), b.drift()])
def test_decisions_stand_in_the_control_log_alone(event: Event) -> None:
    CONTROL.admit(event)
    for topic in (REJECTED, *(family.of("x") for family in FAMILIES)):
        with pytest.raises(WrongEvent, match=type(event).__name__):
            topic.admit(event)


def test_every_event_has_a_topic() -> None:
    everywhere = {event for family in FAMILIES for event in family.events} | {*REJECTED.events, *CONTROL.events}
    ours = {e for e in event_types().values() if e.__module__.startswith("shared.contracts.")}
    # They may stand in any log that a task writes, or reads.
    assert ours - everywhere == {flow.EventBuried, flow.TimerReplayed}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_name_leads_back_to_its_subject(family: TopicFamily) -> None:
    assert family.subject(family.of("card_fraud").name) == "card_fraud"
    assert family.subject("control.v1") is None
    assert [other for other in FAMILIES if other.subject(family.of("x").name)] == [family]


def test_dead_letters_are_of_a_service() -> None:
    assert dead_letters("serving") == "serving.dead.v1"
