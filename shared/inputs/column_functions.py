"""The functions of expressions for whole columns, on numpy: equal to `scalar_functions.SCALAR` value by value.

A column is a float64 array (NaN: missing), or an object array of str, float and None where texts occur. Operations that
IEEE 754 rounds exactly run on whole arrays. Logarithms, powers and the like differ in the last bit between libraries
and processors, so columns call the same `math` functions as records do; so do texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.contracts.expressions import Expression, Functions
from shared.contracts.instants import DAY_MS, FIRST_MS, LAST_MS
from shared.contracts.scalar_functions import MATH, SCALAR, UNIT_MS
from shared.contracts.scalar_functions import load as load_value
from shared.contracts.scalar_functions import load_exact as load_exact_value

Column = npt.NDArray[Any]
_Fast = Callable[..., Any]


def evaluate_columns(expression: Expression, columns: Mapping[str, Any], rows: int) -> Column:
    """`expression` over `rows` rows; each column is an array or a polars series of that length, or one value for all.

    A name that `columns` lacks is missing. Returns a float64 array with NaN, or an object array with None, of shape
    (rows,). Raises ValueError where a column has another length.
    """
    for name in sorted(expression.names & columns.keys()):
        if np.ndim(columns[name]) and len(columns[name]) != rows:
            raise ValueError(f"column {name!r} has {len(columns[name])} rows, expected {rows}")
    result = expression.compiled(COLUMNS)(columns.get)
    return np.ascontiguousarray(np.broadcast_to(result, (rows,)))


def load(values: Any) -> Column:
    """An array, polars series, sequence or single value as a column. NaN, infinities and nulls are missing."""
    array = _as_array(values)
    if array.dtype.kind in "fiub":
        return _finite(array.astype(np.float64))
    return _map(load_value, array)


def load_exact(values: Any) -> Column:
    """As `load`, but whole numbers stay whole, for text(id)."""
    array = _as_array(values)
    if array.dtype.kind in "iu":
        return array.astype(object)
    return _map(load_exact_value, array) if array.dtype.kind == "O" else load(array)


def _as_array(values: Any) -> Column:
    if isinstance(values, np.ndarray):
        return values
    # A polars series of integers with nulls would pass through doubles.
    if hasattr(values, "to_list"):
        values = values.to_numpy() if values.null_count() == 0 else values.to_list()
    if isinstance(values, list | tuple):
        return np.array(values, dtype=object)
    array = np.asarray(values)
    return array if array.dtype.kind in "fiubO" else np.array(values, dtype=object)


def _map(function: Callable[..., Any], *columns: Column) -> Column:
    """`function` row by row on float, str and None; float64 unless texts or whole numbers come out."""
    spread = np.broadcast_arrays(*columns)
    lists = [[None if value != value else value for value in column.ravel().tolist()] for column in spread]
    values = [function(*row) for row in zip(*lists, strict=True)]
    if any(type(value) is str or type(value) is int for value in values):
        result = np.empty(len(values), dtype=object)
        result[:] = values
    else:
        result = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return result.reshape(spread[0].shape)


def _finite(result: Any) -> Column:
    return np.where(np.isfinite(result), result, np.nan)


def _column(name: str, fast: _Fast) -> Callable[..., Column]:
    """`fast` where all arguments are numbers, else the scalar function of that name row by row."""
    slow = SCALAR.operations[name]

    def apply(*columns: Column) -> Column:
        if any(column.dtype != np.float64 for column in columns):
            return _map(slow, *columns)
        with np.errstate(all="ignore"):
            return _finite(fast(*columns))

    return apply


def _row_by_row(name: str) -> Callable[..., Column]:
    slow = SCALAR.operations[name]
    return lambda *columns: _map(slow, *columns)


def _comparison(compare: _Fast) -> _Fast:
    def compared(a: Column, b: Column) -> Column:
        return np.where(np.isnan(a) | np.isnan(b), np.nan, compare(a, b))

    return compared


def _and(*columns: Column) -> Column:
    spread = np.broadcast_arrays(*columns)
    missing = np.logical_or.reduce([np.isnan(column) for column in spread])
    false = np.logical_or.reduce([column == 0.0 for column in spread])
    return np.where(false, 0.0, np.where(missing, np.nan, 1.0))


def _or(*columns: Column) -> Column:
    spread = np.broadcast_arrays(*columns)
    missing = [np.isnan(column) for column in spread]
    true = np.logical_or.reduce([(column != 0.0) & ~none for column, none in zip(spread, missing, strict=True)])
    return np.where(true, 1.0, np.where(np.logical_or.reduce(missing), np.nan, 0.0))


def _choose(condition: Column, a: Column, b: Column) -> Column:
    return np.where(np.isnan(condition), np.nan, np.where(condition != 0.0, a, b))


def _is_in(column: Column, options: tuple[Any, ...]) -> Column:
    if column.dtype == np.float64 and isinstance(options[0], float):
        return np.where(np.isnan(column), np.nan, np.isin(column, options))
    slow = SCALAR.operations["is_in"]
    return _map(partial(slow, options=options), column)


def _is_missing(column: Column) -> Column:
    if column.dtype == np.float64:
        return np.isnan(column).astype(np.float64)
    return _map(SCALAR.operations["is_missing"], column)


def _coalesce(*columns: Column) -> Column:
    result = columns[0]
    for column in columns[1:]:
        result = np.where(np.isnan(result), column, result)
    return result


def _least(*columns: Column) -> Column:
    least = columns[0]
    for column in columns[1:]:
        least = np.where(np.isnan(column) | (column < least), column, least)
    return least


def _greatest(*columns: Column) -> Column:
    greatest = columns[0]
    for column in columns[1:]:
        greatest = np.where(np.isnan(column) | (column > greatest), column, greatest)
    return greatest


def _all_known(function: _Fast) -> _Fast:
    def apply(*columns: Column) -> Column:
        missing = np.logical_or.reduce([np.isnan(column) for column in np.broadcast_arrays(*columns)])
        return np.where(missing, np.nan, function(*columns))

    return apply


def _calendar(read: Callable[[npt.NDArray[np.int64]], Any]) -> _Fast:
    def of_instants(column: Column) -> Column:
        known = (column >= FIRST_MS) & (column <= LAST_MS)
        instants_ms = np.floor(np.where(known, column, 0.0)).astype(np.int64)
        return np.where(known, read(instants_ms), np.nan)

    return of_instants


def _dates(instants_ms: npt.NDArray[np.int64], unit: str) -> npt.NDArray[Any]:
    return (instants_ms // DAY_MS).astype("datetime64[D]").astype(f"datetime64[{unit}]")


def _day(instants_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    first = _dates(instants_ms, "M").astype("datetime64[D]")
    return (_dates(instants_ms, "D") - first).astype(np.int64) + 1


def _times(unit_ms: float) -> _Fast:
    def scaled(column: Column) -> Column:
        return column * unit_ms

    return scaled


def _whole(function: _Fast) -> _Fast:
    # Adding zero turns -0.0, which Python's integers do not know, into 0.0.
    def rounded(column: Column) -> Column:
        return function(column) + 0.0

    return rounded


def _clip(column: Column, low: Column, high: Column) -> Column:
    return _least(_greatest(column, low), high)


def _not(column: Column) -> Column:
    return np.where(np.isnan(column), np.nan, column == 0.0)


_FAST: Final[Mapping[str, _Fast]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
    "positive": np.positive,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "floor": _whole(np.floor),
    "ceil": _whole(np.ceil),
    "round": _whole(np.rint),
    "min": _all_known(_least),
    "max": _all_known(_greatest),
    "clip": _all_known(_clip),
    **{name: _times(unit_ms) for name, unit_ms in UNIT_MS.items()},
    "equal": _comparison(np.equal),
    "not_equal": _comparison(np.not_equal),
    "less": _comparison(np.less),
    "less_equal": _comparison(np.less_equal),
    "greater": _comparison(np.greater),
    "greater_equal": _comparison(np.greater_equal),
    "not": _not,
    "and": _and,
    "or": _or,
    "choose": _choose,
    "coalesce": _coalesce,
    "if_missing": _coalesce,
    "hour": _calendar(lambda instants_ms: instants_ms // 3_600_000 % 24),
    "minute": _calendar(lambda instants_ms: instants_ms // 60_000 % 60),
    "day_of_week": _calendar(lambda instants_ms: (instants_ms // DAY_MS + 3) % 7),
    "day": _calendar(_day),
    "month": _calendar(lambda instants_ms: _dates(instants_ms, "M").astype(np.int64) % 12 + 1),
    "year": _calendar(lambda instants_ms: _dates(instants_ms, "Y").astype(np.int64) + 1970),
}

COLUMNS: Final = Functions(
    load=load,
    load_exact=load_exact,
    operations={
        **{name: _column(name, fast) for name, fast in _FAST.items()},
        **{name: _row_by_row(name) for name in (*MATH, "parse_time", "text", "concat")},
        "is_in": _is_in,
        "is_missing": _is_missing,
    },
)
