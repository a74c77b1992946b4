"""Messages that were written stay readable: each schema against the one that was last published."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import pytest
from pydantic import create_model

from shared.contracts.contract import Contract
from shared.contracts.control import RunFinished
from tests.unit.contracts.compatibility import incompatibilities
from tests.unit.contracts.golden_schemas import breaks, contracts, current, golden, main, stale


def test_no_contract_breaks_what_was_published() -> None:
    assert breaks() == [], "add an optional field instead, or publish a new version of the event"


def test_golden_files_are_as_the_contracts_are() -> None:
    assert stale() == [], "run: python -m tests.unit.contracts.golden_schemas --write"


def test_every_event_and_definition_has_a_golden_file() -> None:
    assert len(contracts()) > 40
    assert all(golden(name) is not None for name in contracts())


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class FewerColours(StrEnum):
    RED = "red"


class MoreColours(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Inner(Contract):
    depth: int


class InnerDeeper(Contract):
    depth: str


class InnerWithMore(Contract):
    depth: int
    width: int | None = None


class Left(Contract):
    kind: Literal["left"] = "left"


PUBLISHED = {"name": (str, ...), "size": (int, ...), "note": (str | None, None), "colour": (Colour, ...)}
NESTED = {**PUBLISHED, "inner": (Inner, ...), "inners": (tuple[Inner, ...], ()), "perhaps": (Inner | None, None)}


def schema(**fields: object) -> dict[str, object]:
    return create_model("Message", __base__=Contract, **fields).model_json_schema()  # pyright: ignore[reportArgumentType,reportCallIssue,reportUnknownVariableType]


@pytest.mark.parametrize(
    "change",
    [
        {"extra": (int | None, None)},
        {"extra": (int, 0)},
        {"colour": (MoreColours, ...)},
        {"size": (int, 0)},
        {"inner": (InnerWithMore, ...)},
    ],
    ids=["optional field added", "defaulted field added", "value added", "no longer required", "nested field added"],
)
def test_what_may_change(change: dict[str, object]) -> None:
    assert incompatibilities(schema(**NESTED), schema(**{**NESTED, **change})) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"note": None}, "$.note: removed"),
        ({"size": (float, ...)}, "$.size: type changed from integer to number"),
        ({"note": (int | None, None)}, "$.note: a type it could have was removed or changed"),
        ({"note": (str | int | None, None)}, "$.note: a type was added"),
        ({"note": (str | None, ...)}, "$.note: newly required"),
        ({"extra": (int, ...)}, "$.extra: newly required"),
        ({"colour": (FewerColours, ...)}, "$.colour: blue removed from its values"),
        ({"inner": (InnerDeeper, ...)}, "$.inner.depth: type changed from integer to string"),
        ({"inners": (tuple[InnerDeeper, ...], ())}, "$.inners[].depth: type changed from integer to string"),
    ],
)
def test_what_may_not_change(change: dict[str, object], said: str) -> None:
    after = {name: field for name, field in {**NESTED, **change}.items() if field is not None}
    assert said in incompatibilities(schema(**NESTED), schema(**after))


@pytest.mark.parametrize("field", ["gate", "window", "parity_rows"])
def test_a_planted_removal_of_a_real_field_fails(field: str) -> None:
    published = current(RunFinished)
    planted = {
        **published,
        "properties": {k: v for k, v in published["properties"].items() if k != field},
        "required": [name for name in published["required"] if name != field],
    }
    assert incompatibilities(published, planted) == [f"$.{field}: removed"]


def test_a_planted_retyping_deep_in_a_real_event_fails() -> None:
    published = current(RunFinished)
    figures = published["$defs"]["GateFigures"]
    retyped = {**figures, "properties": {**figures["properties"], "rows": {"type": "string"}}}
    planted = {**published, "$defs": {**published["$defs"], "GateFigures": retyped}}
    assert incompatibilities(published, planted) == ["$.gate.rows: type changed from integer to string"]


def test_writing_asks_to_be_told_so() -> None:
    assert main([]) == 2
