from __future__ import annotations

from typing import Any

from services.registry.decide import decide
from shared.contracts import control as c
from tests import builders as b
from tests.unit.control_plane import ControlPlane


def apply(*definitions: Any, based_on: int = 1, request_id: str = "q1") -> c.ApplyDefinitions:
    return c.ApplyDefinitions(
        request_id=request_id, based_on=based_on, definitions=definitions or b.declared(), by="ann"
    )


def founded() -> ControlPlane:
    plane = ControlPlane(decide())
    plane.tell(b.founded())
    return plane


def test_definitions_come_into_force() -> None:
    plane = founded()
    assert plane.tell(apply()) == [b.applied()]
    assert plane.platform.definitions == b.definitions()


def test_unchanged_definitions_are_no_error() -> None:
    plane = founded()
    plane.tell(apply())
    assert plane.tell(apply(based_on=3, request_id="q2")) == [b.applied(request_id="q2")]


def test_of_two_at_once_the_second_is_refused() -> None:
    plane = founded()
    plane.put(apply(request_id="q1"))
    plane.put(apply(request_id="q2"))
    followed = plane.tell(apply(request_id="q3"))
    assert [type(event).__name__ for event in plane.events[4:]] == [
        "DefinitionsApplied", "DefinitionsRefused", "DefinitionsRefused",
    ]  # fmt: skip
    refused = followed[-1]
    assert isinstance(refused, c.DefinitionsRefused)
    assert refused.request_id == "q3"
    assert "apply again" in refused.reason


def test_what_was_validated_against_an_older_state_is_refused() -> None:
    plane = founded()
    plane.tell(apply())
    [refused] = plane.tell(apply(based_on=2, request_id="q2"))
    assert isinstance(refused, c.DefinitionsRefused)


def test_what_does_not_fit_is_refused_with_every_problem() -> None:
    plane = founded()
    [refused] = plane.tell(apply(b.model()))
    assert isinstance(refused, c.DefinitionsRefused)
    assert "Model card_fraud: scores" in refused.reason
    assert plane.tell(apply()) == [b.applied()]


def test_a_changed_meaning_is_refused() -> None:
    plane = founded()
    plane.tell(apply())
    [refused] = plane.tell(apply(b.source(key="category"), based_on=3, request_id="q2"))
    assert isinstance(refused, c.DefinitionsRefused)
    assert "under a new name" in refused.reason
