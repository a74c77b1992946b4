"""docs/expressions.md: every function is named, every example gives what stands beside it, and what is refused is."""

from __future__ import annotations

import json

import pytest

from shared.contracts.expression_parser import DEEPEST, LARGEST_EXPONENT, LONGEST
from shared.contracts.expression_tree import COMPARISONS, FUNCTIONS, MOST_ARGUMENTS, OPERATORS, Apply, Compare, Member
from shared.contracts.expressions import ExpressionError, evaluate, parse
from shared.contracts.instants import NAMED_FORMATS
from shared.contracts.scalar_functions import SCALAR
from tests.unit.docs.markdown import DOCS, Row, blocks, rows

DOCUMENT = (DOCS / "expressions.md").read_text()
RECORD = json.loads(blocks(DOCUMENT, "json")[0])
REFUSED = "What is refused"


def example(row: Row) -> tuple[str, str]:
    """Expression and what it gives."""
    cells = row.cells[1:] if row.heading == "Functions" and len(row.cells) == 4 else row.cells
    return cells[0].strip("`"), cells[1].strip("`")


EXAMPLES = [example(row) for row in rows(DOCUMENT) if row.heading != REFUSED]


@pytest.mark.parametrize(("expression", "gives"), EXAMPLES)
def test_an_example_gives_what_stands_beside_it(expression: str, gives: str) -> None:
    found = evaluate(parse(expression), RECORD, SCALAR)
    assert ("missing" if found is None else json.dumps(found)) == gives


def test_every_function_and_operator_has_an_example() -> None:
    functions = {
        row.cells[0].strip("`") for row in rows(DOCUMENT) if row.heading == "Functions" and len(row.cells) == 4
    }
    assert functions == FUNCTIONS.keys()
    used = {name for expression, _ in EXAMPLES for name in _operations(parse(expression).root)}
    assert used >= {*FUNCTIONS, *OPERATORS, "is_in", "equal", "greater", "less"}
    assert all(f"`{sign}`" in DOCUMENT for sign in ("!=", ">=", "<", "<=", "not in"))
    assert len(COMPARISONS) == 6


@pytest.mark.parametrize("row", [row for row in rows(DOCUMENT) if row.heading == REFUSED], ids=lambda row: row.cells[0])
def test_what_is_refused_is_refused_for_this_reason(row: Row) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(row.cells[0].strip("`"))
    assert row.cells[1] in str(refused.value)


def test_limits_and_formats_are_those_of_the_code() -> None:
    assert f"at most {LONGEST} characters and nests at most {DEEPEST} deep" in DOCUMENT
    assert f"exponents up to {LARGEST_EXPONENT}" in DOCUMENT
    assert f"2 to {MOST_ARGUMENTS} numbers" in DOCUMENT
    assert all(f"`'{name}'`" in DOCUMENT for name in NAMED_FORMATS)


def _operations(node: object) -> set[str]:
    match node:
        case Apply(operation=operation, arguments=parts):
            return {operation, *(name for part in parts for name in _operations(part))}
        case Compare(operands=parts, operations=operations):
            return {*operations, *(name for part in parts for name in _operations(part))}
        case Member(operand=operand):
            return {"is_in", *_operations(operand)}
        case _:
            return set()
