"""The functions of expressions as polars expressions, for the second computation of inputs.

Booleans become 1.0 and 0.0, NaN and infinities null, as the expression language has it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from shared.contracts.expressions import Functions
from shared.contracts.instants import parse_instant_ms

_MS_A_DAY = 86_400_000


def _load(value: Any) -> pl.Expr:
    if isinstance(value, pl.Expr):
        return value
    return pl.lit(value)


def _finite(result: pl.Expr) -> pl.Expr:
    result = result.cast(pl.Float64)
    return pl.when(result.is_finite()).then(result)


def _number(function: Callable[..., pl.Expr]) -> Callable[..., pl.Expr]:
    """`function` of numbers; null where an argument is, or where there is no finite answer."""

    def guarded(*arguments: pl.Expr) -> pl.Expr:
        known = pl.all_horizontal([argument.is_not_null() for argument in arguments])
        return pl.when(known).then(_finite(function(*arguments)))

    return guarded


def _unary(function: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr], pl.Expr]:
    return _number(function)


def _python(function: Callable[..., Any], returns: Any = pl.Float64) -> Callable[..., pl.Expr]:
    """`function` row by row: where libraries differ in the last bit, and for texts."""

    def by_row(row: Mapping[str, Any]) -> Any:
        if None in row.values():
            return None
        try:
            return function(*row.values())
        except (ValueError, OverflowError, ZeroDivisionError):
            return None

    def apply(*arguments: pl.Expr) -> pl.Expr:
        columns = pl.struct([argument.alias(str(i)) for i, argument in enumerate(arguments)])
        return columns.map_elements(by_row, return_dtype=returns)

    return apply


def _instant_ms(value: float | str, pattern: str | None = None) -> float | None:
    instant_ms = parse_instant_ms(value, pattern)
    return None if instant_ms is None else float(instant_ms)


def _three_valued(decides: float) -> Callable[..., pl.Expr]:
    """`and` is decided by a 0, `or` by anything else; otherwise what is missing stays missing."""

    def combine(*arguments: pl.Expr) -> pl.Expr:
        hits = [(argument == 0.0) if decides == 0.0 else (argument != 0.0) for argument in arguments]
        decided = pl.any_horizontal([hit.fill_null(False) for hit in hits])
        missing = pl.any_horizontal([argument.is_null() for argument in arguments])
        return pl.when(decided).then(decides).when(~missing).then(1.0 - decides)

    return combine


def _calendar(read: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr], pl.Expr]:
    return _unary(lambda ms: read(ms.floor().cast(pl.Int64).cast(pl.Datetime("ms"))))


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value == math.floor(value) and abs(value) < 2.0**53 else repr(value)


def _choose(condition: pl.Expr, a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.when(condition.is_null()).then(None).when(condition != 0.0).then(a).otherwise(b)


def _clip(a: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    return pl.min_horizontal(pl.max_horizontal(a, low), high)


def _is_in(a: pl.Expr, options: tuple[float, ...] | tuple[str, ...]) -> pl.Expr:
    return a.is_in(list(options)).cast(pl.Float64)


def _is_missing(a: pl.Expr) -> pl.Expr:
    return a.is_null().cast(pl.Float64)


def _concat(*parts: pl.Expr) -> pl.Expr:
    return pl.concat_str([_python(_text, pl.String)(part) for part in parts])


_COMPARED: Final = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
_BY_ROW: Final = {
    "log": math.log,
    "log1p": math.log1p,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "power": math.pow,
    "floor_divide": operator.floordiv,
    "modulo": operator.mod,
    "parse_time": _instant_ms,
}

POLARS: Final = Functions(
    load=_load,
    load_exact=_load,
    operations={
        "add": _number(operator.add),
        "subtract": _number(operator.sub),
        "multiply": _number(operator.mul),
        "divide": _number(operator.truediv),
        "negative": _unary(lambda a: -a),
        "positive": _unary(lambda a: a),
        "abs": _number(pl.Expr.abs),
        "sqrt": _number(pl.Expr.sqrt),
        "floor": _number(pl.Expr.floor),
        "ceil": _number(pl.Expr.ceil),
        "round": _unary(lambda a: a.round(0, mode="half_to_even")),
        "min": _number(pl.min_horizontal),
        "max": _number(pl.max_horizontal),
        "clip": _number(_clip),
        "seconds": _unary(lambda a: a * 1e3),
        "minutes": _unary(lambda a: a * 6e4),
        "hours": _unary(lambda a: a * 3.6e6),
        "days": _unary(lambda a: a * float(_MS_A_DAY)),
        **{name: _python(function) for name, function in _BY_ROW.items()},
        **{name: _number(compare) for name, compare in _COMPARED.items()},
        "not": _unary(lambda a: a == 0.0),
        "and": _three_valued(0.0),
        "or": _three_valued(1.0),
        "choose": _choose,
        "is_in": _is_in,
        "coalesce": pl.coalesce,
        "if_missing": pl.coalesce,
        "is_missing": _is_missing,
        "hour": _calendar(lambda at: at.dt.hour()),
        "minute": _calendar(lambda at: at.dt.minute()),
        "day_of_week": _calendar(lambda at: at.dt.weekday() - 1),
        "day": _calendar(lambda at: at.dt.day()),
        "month": _calendar(lambda at: at.dt.month()),
        "year": _calendar(lambda at: at.dt.year()),
        "text": _python(_text, pl.String),
        "concat": _concat,
    },
)
