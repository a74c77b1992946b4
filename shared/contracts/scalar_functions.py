"""The functions of expressions for one record, on `math`: values are float, str, or None for missing."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from shared.contracts.expressions import Functions, Value
from shared.contracts.instants import DAY_MS, FIRST_MS, LAST_MS, parse_instant_ms

UNIT_MS: Final[Mapping[str, float]] = {"seconds": 1e3, "minutes": 6e4, "hours": 3.6e6, "days": 8.64e7}
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# Whole numbers below it are written without a fraction, so that 5 and 5.0 are one id.
_WHOLE_BELOW = 2.0**53


def load(value: Any) -> Value:
    """A record's value as float, str or None. NaN and infinities are missing. Raises TypeError for anything else."""
    kind = type(value)
    if kind is float:
        return value if value - value == 0.0 else None
    if value is None or kind is str:
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float) or hasattr(value, "__float__"):
        try:
            return _finite(float(value))
        except OverflowError:
            return None
    raise TypeError(f"an expression reads numbers, texts, booleans and None; found a {kind.__name__}: {value!r:.80}")


def load_exact(value: Any) -> int | Value:
    """As `load`, but an integer stays one: ids beyond 2**53 keep all their digits in text(id)."""
    return value if type(value) is int else load(value)


def _finite(value: float) -> float | None:
    return value if value - value == 0.0 else None


def _add(a: Value, b: Value) -> Value:
    if type(a) is float and type(b) is float:
        result = a + b
        if result - result == 0.0:
            return result
    return None


def _subtract(a: Value, b: Value) -> Value:
    if type(a) is float and type(b) is float:
        result = a - b
        if result - result == 0.0:
            return result
    return None


def _multiply(a: Value, b: Value) -> Value:
    if type(a) is float and type(b) is float:
        result = a * b
        if result - result == 0.0:
            return result
    return None


def _divide(a: Value, b: Value) -> Value:
    if type(a) is float and type(b) is float and b != 0.0:
        result = a / b
        if result - result == 0.0:
            return result
    return None


def _numeric(function: Callable[..., float]) -> Callable[..., Value]:
    """`function` on numbers only; what it cannot answer is missing."""

    def guarded(*arguments: Value) -> Value:
        for argument in arguments:
            if type(argument) is not float:
                return None
        try:
            result = float(function(*arguments))
        except (ValueError, OverflowError, ZeroDivisionError):
            return None
        return result if result - result == 0.0 else None

    return guarded


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Value, Value], Value]:
    def compared(a: Value, b: Value) -> Value:
        kind = type(a)
        if kind is not type(b) or a is None:
            return None
        return 1.0 if compare(a, b) else 0.0

    return compared


def _not(a: Value) -> Value:
    return (1.0 if a == 0.0 else 0.0) if type(a) is float else None


def _and(*values: Value) -> Value:
    result: Value = 1.0
    for value in values:
        if value == 0.0:
            return 0.0
        if type(value) is not float:
            result = None
    return result


def _or(*values: Value) -> Value:
    result: Value = 0.0
    for value in values:
        if type(value) is not float:
            result = None
        elif value != 0.0:
            return 1.0
    return result


def _choose(condition: Value, a: Value, b: Value) -> Value:
    if type(condition) is not float:
        return None
    return a if condition != 0.0 else b


def _is_in(value: Value, options: tuple[Any, ...]) -> Value:
    if type(value) is not type(options[0]):
        return None
    return 1.0 if value in options else 0.0


def _is_missing(value: Value) -> float:
    return 1.0 if value is None else 0.0


def _coalesce(*values: Value) -> Value:
    for value in values:
        if value is not None:
            return value
    return None


def _negative(value: float) -> float:
    return -value


def _positive(value: float) -> float:
    return value


def _least(*values: float) -> float:
    least = values[0]
    for value in values:
        if value < least:
            least = value
    return least


def _greatest(*values: float) -> float:
    greatest = values[0]
    for value in values:
        if value > greatest:
            greatest = value
    return greatest


def _clip(value: float, low: float, high: float) -> float:
    return _least(_greatest(value, low), high)


def _text(value: int | Value) -> str | None:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _WHOLE_BELOW else repr(value)
    return str(value) if isinstance(value, int) else value


def _concat(*values: int | Value) -> str | None:
    texts = [_text(value) for value in values]
    known = [text for text in texts if text is not None]
    return "".join(known) if len(known) == len(texts) else None


def _parse_time(value: Value, pattern: Value = None) -> float | None:
    if value is None or not (pattern is None or isinstance(pattern, str)):
        return None
    instant_ms = parse_instant_ms(value, pattern)
    return None if instant_ms is None else float(instant_ms)


def _calendar(read: Callable[[int], int]) -> Callable[[Value], Value]:
    """`read` of epoch milliseconds, given as such or as a text; missing outside the years 1 to 9999."""

    def of_instant(value: Value) -> Value:
        instant_ms = parse_instant_ms(value) if isinstance(value, str) else value
        if instant_ms is None or not FIRST_MS <= instant_ms <= LAST_MS:
            return None
        return float(read(int(instant_ms // 1)))

    return of_instant


def _date(instant_ms: int) -> date:
    return date.fromordinal(instant_ms // DAY_MS + _EPOCH_ORDINAL)


def _times(unit_ms: float) -> Callable[[float], float]:
    return lambda count: count * unit_ms


# The functions that round differently from one library to the next: columns call these very ones.
MATH: Final[Mapping[str, Callable[..., float]]] = {
    "log": math.log,
    "log1p": math.log1p,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "power": math.pow,
    "floor_divide": operator.floordiv,
    "modulo": operator.mod,
}

SCALAR: Final = Functions(
    load=load,
    load_exact=load_exact,
    operations={
        "add": _add,
        "subtract": _subtract,
        "multiply": _multiply,
        "divide": _divide,
        **{name: _numeric(function) for name, function in MATH.items()},
        "negative": _numeric(_negative),
        "positive": _numeric(_positive),
        "abs": _numeric(math.fabs),
        "sqrt": _numeric(math.sqrt),
        "floor": _numeric(math.floor),
        "ceil": _numeric(math.ceil),
        "round": _numeric(round),
        "min": _numeric(_least),
        "max": _numeric(_greatest),
        "clip": _numeric(_clip),
        **{name: _numeric(_times(unit_ms)) for name, unit_ms in UNIT_MS.items()},
        "equal": _comparison(operator.eq),
        "not_equal": _comparison(operator.ne),
        "less": _comparison(operator.lt),
        "less_equal": _comparison(operator.le),
        "greater": _comparison(operator.gt),
        "greater_equal": _comparison(operator.ge),
        "not": _not,
        "and": _and,
        "or": _or,
        "choose": _choose,
        "is_in": _is_in,
        "coalesce": _coalesce,
        "if_missing": _coalesce,
        "is_missing": _is_missing,
        "hour": _calendar(lambda instant_ms: instant_ms // 3_600_000 % 24),
        "minute": _calendar(lambda instant_ms: instant_ms // 60_000 % 60),
        # 1970 began on a Thursday.
        "day_of_week": _calendar(lambda instant_ms: (instant_ms // DAY_MS + 3) % 7),
        "day": _calendar(lambda instant_ms: _date(instant_ms).day),
        "month": _calendar(lambda instant_ms: _date(instant_ms).month),
        "year": _calendar(lambda instant_ms: _date(instant_ms).year),
        "parse_time": _parse_time,
        "text": _text,
        "concat": _concat,
    },
)
