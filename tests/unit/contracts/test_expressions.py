"""The expression language on one record: what it computes, what it refuses, what missing does."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.expressions import ExpressionError, Kind, evaluate, parse
from shared.contracts.scalar_functions import SCALAR

AT_MS = 1_709_209_815_250  # 2024-02-29T12:30:15.250Z, a Thursday
RECORD = {
    "amount": 12.5,
    "count": 3,
    "flag": True,
    "off": False,
    "city": "Bern",
    "nothing": None,
    "broken": math.nan,
    "huge": 1e308,
    "at": AT_MS,
    "at_text": "2024-02-29T13:30:15.250+01:00",
    "dteday": 20110101,
    "hr": 7,
    "row": 2,
    "order_id": 2**60 + 1,
    "class": "UP",
    "card_activity.spend_mean_1h": 4.0,
}

GOOD = [
    ("1", 1.0),
    ("-2 ** 2", -4.0),
    ("1 + 2 * 3 - 4 / 8", 6.5),
    ("7 // 2 + 7 % 4 + -7 % 4", 7.0),
    ("2 ** 0.5", math.sqrt(2)),
    ("+amount", 12.5),
    ("  amount\n  + 1 ", 13.5),
    ("amount / (card_activity.spend_mean_1h + 1)", 2.5),
    ("count + flag", 4.0),
    ("flag", 1.0),
    ("True + True", 2.0),
    ("amount > 10", 1.0),
    ("1 < count <= 3 < 4", 1.0),
    ("1 < count < 3", 0.0),
    ("city == 'Bern'", 1.0),
    ("city < 'Aarau'", 0.0),
    ("city in ('Bern', 'Basel')", 1.0),
    ("city not in ['Bern']", 0.0),
    ("count in (-1, 3)", 1.0),
    ("count in ('3',)", None),
    ("flag and not off", 1.0),
    ("off or amount > 100", 0.0),
    ("'big' if amount > 10 else 'small'", "big"),
    ("1 if nothing > 0 else 2", None),
    ("None", None),
    ("nothing", None),
    ("broken", None),
    ("nothing + 1", None),
    ("broken == broken", None),
    ("nothing != 1", None),
    ("absent + 1", None),
    ("off and nothing", 0.0),
    ("nothing and off", 0.0),
    ("flag and nothing", None),
    ("nothing or flag", 1.0),
    ("off or nothing", None),
    ("not nothing", None),
    ("nothing in (1, 2)", None),
    ("1 / 0", None),
    ("1 // off", None),
    ("1 % off", None),
    ("log(0)", None),
    ("log1p(-1)", None),
    ("sqrt(-1)", None),
    ("exp(1000)", None),
    ("huge * 10", None),
    ("huge + huge", None),
    ("(-8) ** 0.5", None),
    ("0 ** -1", None),
    ("10 ** 100 ** 2", None),
    ("city + 1", None),
    ("city > 1", None),
    ("abs(-3) + floor(2.7) + ceil(2.1) + round(2.5) + round(3.5)", 14.0),
    ("min(3, count, 1) + max(1, 2)", 3.0),
    ("min(1, nothing)", None),
    ("log(exp(2)) + sqrt(9)", 5.0),
    ("sin(0) + cos(0)", 1.0),
    ("clip(amount, 0, 10)", 10.0),
    ("coalesce(nothing, broken, 5)", 5.0),
    ("coalesce(nothing, city)", "Bern"),
    ("if_missing(nothing, 'none')", "none"),
    ("is_missing(nothing) + is_missing(broken) + is_missing(amount)", 2.0),
    ("hour(at)", 12.0),
    ("hour(at_text)", 12.0),
    ("minute(at)", 30.0),
    ("day_of_week(at)", 3.0),
    ("day_of_week(0 - 1)", 2.0),
    ("day(at) + month(at) + year(at)", 2055.0),
    ("hour(huge)", None),
    ("hour(city)", None),
    ("parse_time(at_text)", float(AT_MS)),
    ("parse_time(at)", float(AT_MS)),
    ("parse_time('1996-05-07') + row * minutes(30)", 831_427_200_000.0 + 3_600_000),
    ("parse_time(dteday, 'YYYYMMDD') + hours(hr)", 1_293_840_000_000.0 + 7 * 3_600_000),
    ("parse_time(dteday) + hours(hr)", 1_293_840_000_000.0 + 7 * 3_600_000),
    ("parse_time('31.12.2011 23:05', '%d.%m.%Y %H:%M')", 1_325_372_700_000.0),
    ("parse_time('20111399')", None),
    ("parse_time('yesterday')", None),
    ("days(1) + hours(1) + minutes(1) + seconds(1)", 90_061_000.0),
    ("row", 2.0),
    ("text(count)", "3"),
    ("text(amount)", "12.5"),
    ("text(flag)", "1"),
    ("text(order_id)", str(2**60 + 1)),
    ("text(nothing)", None),
    ("concat('r', row, '-', city)", "r2-Bern"),
    ("concat('r', nothing)", None),
    ("field('class') == 'UP'", 1.0),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_value(text: str, expected: float | str | None) -> None:
    value = evaluate(parse(text), RECORD, SCALAR)
    assert value == (pytest.approx(expected, rel=1e-15) if isinstance(expected, float) else expected)
    assert value is None or type(value) in (float, str)


BAD = [
    ("", 1, "nothing"),
    ("amount +", 9, "no expression"),
    ("a b", 3, "no expression"),
    ("x = 1", 3, "no expression"),
    ("import os", 1, "no expression"),
    ("1; 2", 2, "no expression"),
    ("a + (lambda: 1)", 6, "lambda"),
    ("[i for i in a]", 1, "comprehension"),
    ("{i: 1 for i in a}", 1, "comprehension"),
    ("max((i for i in a), 1)", 5, "comprehension"),
    ("a[0]", 1, "subscript"),
    ("f'{a}'", 1, "f-string"),
    ("(x := 1)", 2, "assignment"),
    ("a.b.c", 1, "attribute"),
    ("'x'.upper()", 1, "call of something"),
    ("view.feature(1)", 1, "call of something"),
    ("().__class__", 1, "attribute"),
    ("x.__class__", 1, "__class__"),
    ("1 + __import__", 5, "__import__"),
    ("__import__('os')", 1, "the function"),
    ("field('__class__')", 1, "field"),
    ("eval('1')", 1, "the function"),
    ("lg(1)", 1, "'lg'"),
    ("log(1, 2)", 1, "2 arguments"),
    ("min(1)", 1, "1 arguments"),
    ("log(x=1)", 5, "named argument"),
    ("max(*a)", 5, "starred"),
    ("(1, 2)", 1, "tuple"),
    ("{'a': 1}", 1, "dictionary"),
    ("1j", 1, "complex"),
    ("b'x'", 1, "bytes"),
    ("...", 1, "ellipsis"),
    ("1e999", 1, "float"),
    ("9" * 30, 1, "integer beyond"),
    ("2 ** 101", 6, "exponent"),
    ("a & b", 1, "BinOp"),
    ("~a", 1, "UnaryOp"),
    ("a @ b", 1, "BinOp"),
    ("x is 1", 6, "'is'"),
    ("x == None", 6, "comparison with None"),
    ("x in y", 6, "'in' without a list"),
    ("x in ()", 6, "'in' without a list"),
    ("x in (1, 'a')", 6, "numbers beside texts"),
    ("x in (1, y)", 10, "Name"),
    ("x in (None,)", 7, "Constant"),
    ("1 < x in (1, 2)", 10, "'in'"),
    ("amount + 'a'", 10, "a text in add"),
    ("log(text(a))", 5, "a text in log"),
    ("'a' < 1", 1, "a number beside a text"),
    ("coalesce(a, 1, 'b')", 1, "a number beside a text"),
    ("1 if a else 'b'", 1, "a number beside a text"),
    ("parse_time(a, 'DD')", 15, "time format"),
    ("parse_time(a, b)", 15, "time format"),
    ("parse_time(a, '%Y %Y')", 15, "time format"),
    ("parse_time(a, '%B')", 15, "time format"),
    ("'a\\n'", 3, "backslash"),
    ("ä + q[1]", 5, "subscript"),
    ("   q[1]", 4, "subscript"),
    ("a\x00b", None, ""),
    ("a" * 1001, 1001, "1001 characters"),
    ("(" * 300 + ")" * 300, None, ""),
    ("-" * 999 + "1", 101, "nested too deep"),
    ("+".join(["a"] * 150), None, "nested too deep"),
]


@pytest.mark.parametrize(("text", "column", "found"), BAD)
def test_refused(text: str, column: int | None, found: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert column in (None, caught.value.column)
    assert found in caught.value.found
    assert caught.value.allowed
    assert f"column {caught.value.column}" in str(caught.value)


@given(st.text(alphabet="ab01 .()[]{}'\"+-*/%<>=!:,_&|~^@ifelsornotandambxy\n#é", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        expression = parse(text)
    except ExpressionError as error:
        assert error.column >= 1  # noqa: PT017 - most texts are refused, some are not
    else:
        assert type(evaluate(expression, {}, SCALAR)) in (float, str, type(None))


def test_names_are_those_it_reads() -> None:
    expression = parse("log(amount) if view.count > 1 and city in ('a',) else text(field('a b')) != 'x'")
    assert expression.names == {"amount", "view.count", "city", "a b"}


def test_check_gives_the_kind_and_refuses_unknown_names() -> None:
    kinds = {"amount": Kind.NUMBER, "city": Kind.TEXT, "at": Kind.ANY}
    assert parse("amount + hour(at)").check(kinds) is Kind.NUMBER
    assert parse("city if amount > 1 else 'x'").check(kinds) is Kind.TEXT
    with pytest.raises(ExpressionError, match="did you mean amount") as caught:
        parse("1 + amonut").check(kinds)
    assert caught.value.column == 5
    with pytest.raises(ExpressionError, match="a text in multiply"):
        parse("amount * city").check(kinds)


def test_lookup_may_be_a_function_and_each_operand_is_read_once() -> None:
    read: list[str] = []

    def lookup(name: str) -> float:
        read.append(name)
        return 2.0

    assert evaluate(parse("1 < x < 3 < y"), lookup, SCALAR) == 0.0
    assert read == ["x", "y"]


def test_nested_chains_cost_once_each() -> None:
    text = "x"
    for _ in range(40):
        text = f"(0 <= {text} <= 1)"
    assert evaluate(parse(text), {"x": 1}, SCALAR) == 1.0


def test_value_of_unknown_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="found a list"):
        evaluate(parse("x + 1"), {"x": [1]}, SCALAR)


def test_compiled_once_for_each_set_of_functions() -> None:
    expression = parse("a + 1")
    assert expression.compiled(SCALAR) is expression.compiled(SCALAR)
    assert expression == parse("a + 1") != parse("a + 2")


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_read_back(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    record = {"at": moment.isoformat()}
    instant_ms = evaluate(parse("parse_time(at)"), record, SCALAR)
    assert instant_ms == evaluate(parse("parse_time(at, 'epoch_ms')"), {"at": instant_ms}, SCALAR)
    parts = [evaluate(parse(f"{name}(at)"), record, SCALAR) for name in ("year", "month", "day", "hour", "minute")]
    assert parts == [moment.year, moment.month, moment.day, moment.hour, moment.minute]
    assert evaluate(parse("day_of_week(at)"), {"at": instant_ms}, SCALAR) == moment.weekday()
