"""Columns give what records give, value by value and bit by bit."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.expressions import ExpressionError, evaluate, parse
from shared.contracts.scalar_functions import SCALAR
from shared.inputs.column_functions import COLUMNS, evaluate_columns

NUMBERS = ("x", "y", "view.z")
TEXTS = ("s", "t")
UNARY = ("abs", "sqrt", "log", "log1p", "exp", "floor", "ceil", "round", "sin", "cos", "is_missing", "hours", "days")
CALENDAR = ("hour", "minute", "day_of_week", "day", "month", "year", "parse_time")
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 1e-308, 1e308, -1e308, 5e-324, math.nan, math.inf, 20110101.0, 1.7e12]

number_value = st.one_of(
    st.none(), st.sampled_from(EDGES), st.floats(), st.floats(-100, 100), st.integers(-(2**53), 2**53), st.booleans()
)
text_value = st.one_of(
    st.none(), st.sampled_from(["", "a", "b", "2024-02-29T12:30:15Z", "20110101"]), st.text(max_size=3)
)


def _grow(depth: int) -> tuple[st.SearchStrategy[str], st.SearchStrategy[str]]:
    """Texts of expressions that give numbers, and of those that give texts."""
    if depth == 0:
        constants = st.sampled_from(["0", "1", "2", "0.5", "3.7", "1e300", "None", "True"])
        return st.one_of(st.sampled_from(NUMBERS), constants), st.one_of(st.sampled_from(TEXTS), st.just("'a'"))
    n, t = _grow(depth - 1)
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!=", "and", "or"])
    numbers = st.one_of(
        n,
        st.builds("({} {} {})".format, n, binary, n),
        st.builds("({} < {} <= {})".format, n, n, n),
        st.builds("({} {} {})".format, t, st.sampled_from(["<", ">=", "==", "!="]), t),
        st.builds("({} {})".format, st.sampled_from(["-", "+", "not"]), n),
        st.builds("{}({})".format, st.sampled_from(UNARY), n),
        st.builds("{}({})".format, st.sampled_from(CALENDAR), st.one_of(n, t)),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max", "coalesce", "if_missing"]), n, n),
        st.builds("clip({}, {}, {})".format, n, n, n),
        st.builds("({} if {} else {})".format, n, n, n),
        st.builds("({} in (1, -2.5, 0))".format, n),
        st.builds("({} not in ('a', ''))".format, t),
        st.builds("is_missing({})".format, t),
    )
    texts = st.one_of(
        t,
        st.builds("text({})".format, n),
        st.builds("concat({}, {})".format, n, t),
        st.builds("coalesce({}, {})".format, t, t),
        st.builds("({} if {} else {})".format, t, n, t),
    )
    return numbers, texts


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, the sign of zero included; None and NaN are both missing."""
    a, b = (None if value != value else value for value in (a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b and math.copysign(1.0, a) == math.copysign(1.0, b)
    return type(a) is type(b) and a == b


def assert_equal(text: str, rows: list[dict[str, Any]], columns: dict[str, Any]) -> None:
    expression = parse(text)
    got = evaluate_columns(expression, columns, len(rows)).tolist()
    want = [evaluate(expression, row, SCALAR) for row in rows]
    for row, a, b in zip(rows, want, got, strict=True):
        assert same(a, b), f"{text} of {row}: record {a!r}, column {b!r}"


row = st.fixed_dictionaries({**dict.fromkeys(NUMBERS, number_value), **dict.fromkeys(TEXTS, text_value)})


@settings(max_examples=400, deadline=None)
@given(st.one_of(*_grow(2)), st.lists(row, min_size=1, max_size=6))
def test_columns_equal_records(text: str, rows: list[dict[str, Any]]) -> None:
    columns = {name: [row[name] for row in rows] for name in (*NUMBERS, *TEXTS)}
    try:
        parse(text)
    except ExpressionError as refused:
        assert "exponent" in refused.found or "None" in refused.found or "nested" in refused.found  # noqa: PT017
        return
    assert_equal(text, rows, columns)


@pytest.mark.parametrize(
    "text",
    [
        "x + y",
        "x / y",
        "x // y",
        "x % y",
        "x ** y",
        "round(x)",
        "clip(x, y, view.z)",
        "min(x, y)",
        "max(x, y, view.z)",
        *(f"{name}(x)" for name in (*UNARY, *CALENDAR, "text")),
    ],
)
def test_many_numbers(text: str) -> None:
    draw = random.Random(7)
    values = [*EDGES, *(draw.uniform(-1, 1) * 10.0 ** draw.randint(-300, 300) for _ in range(300))]
    rows = [{name: draw.choice(values) for name in NUMBERS} for _ in range(3000)]
    assert_equal(text, rows, {name: np.array([row[name] for row in rows]) for name in NUMBERS})


@pytest.mark.parametrize(
    "text",
    [
        "text(big)",
        "concat('r', row, '-', whole)",
        "whole / 2",
        "flag + 1",
        "s == 'a'",
        "if_missing(s, 'none')",
        "absent",
        "parse_time(day) + hours(whole)",
        "text(flag)",
        "whole",
        "s",
        "big > 3",
    ],
)
def test_polars_columns(text: str) -> None:
    rows = [
        {"big": 2**60 + 1, "whole": 3, "flag": True, "s": "a", "day": 20110101},
        {"big": None, "whole": 4, "flag": None, "s": None, "day": 20110228},
        {"big": -5, "whole": -1, "flag": False, "s": "", "day": 20110229},
    ]
    frame = pl.DataFrame(rows)
    columns = {name: frame[name] for name in frame.columns} | {"row": np.arange(3)}
    assert_equal(text, [record | {"row": i} for i, record in enumerate(rows)], columns)


def test_constants_fill_the_rows_and_no_rows_are_fine() -> None:
    assert evaluate_columns(parse("hours(1)"), {}, 3).tolist() == [3.6e6] * 3
    assert evaluate_columns(parse("'a'"), {}, 2).tolist() == ["a", "a"]
    assert evaluate_columns(parse("concat('a', x) if x > 1 else 'b'"), {"x": np.array([])}, 0).shape == (0,)


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="column 'x' has 2 rows, expected 3"):
        evaluate_columns(parse("x + 1"), {"x": [1, 2]}, 3)


def test_both_sets_have_the_same_operations() -> None:
    assert COLUMNS.operations.keys() == SCALAR.operations.keys()
