"""The tree that an expression of the definitions may have, what each operation takes, and the error for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final


class Kind(StrEnum):
    """What a value is, apart from missing. ANY: not known before it is seen (a time is text or milliseconds)."""

    NUMBER = "number"
    TEXT = "text"
    ANY = "any"


class ExpressionError(ValueError):
    """An expression that is refused: where (`column`, from 1), what was found there, what is allowed."""

    def __init__(self, text: str, column: int, found: str, allowed: str) -> None:
        self.text = text
        self.column = column
        self.found = found
        self.allowed = allowed
        shown = text if len(text) <= 120 else text[:117] + "..."
        super().__init__(f"column {column} of {shown!r}: found {found}; {allowed}")


@dataclass(frozen=True, slots=True)
class Constant:
    value: float | str | None
    column: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    column: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Apply:
    operation: str
    arguments: tuple[Node, ...]
    column: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`operands[0] operations[0] operands[1] operations[1] ...`: true when every link is."""

    operands: tuple[Node, ...]
    operations: tuple[str, ...]
    column: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Member:
    """`operand in options`; the options are all numbers or all texts."""

    operand: Node
    options: tuple[float, ...] | tuple[str, ...]
    column: int = field(default=1, compare=False)


Node = Constant | Name | Apply | Compare | Member

_N, _T, _A = Kind.NUMBER, Kind.TEXT, Kind.ANY


@dataclass(frozen=True, slots=True)
class Signature:
    """Kinds of the arguments (the last one repeats up to `most`), the fewest and most of them, kind of the result.

    `alike` is the position from which on the arguments must be of one kind, which is then the result's.
    """

    arguments: tuple[Kind, ...]
    result: Kind
    fewest: int
    most: int
    alike: int | None = None


MOST_ARGUMENTS: Final = 20


def _fixed(*arguments: Kind, result: Kind = _N) -> Signature:
    return Signature(arguments, result, len(arguments), len(arguments))


# What a definition may call.
FUNCTIONS: Final[Mapping[str, Signature]] = {
    **dict.fromkeys(("abs", "sqrt", "log", "log1p", "exp", "floor", "ceil", "round", "sin", "cos"), _fixed(_N)),
    "min": Signature((_N,), _N, 2, MOST_ARGUMENTS),
    "max": Signature((_N,), _N, 2, MOST_ARGUMENTS),
    "clip": _fixed(_N, _N, _N),
    "coalesce": Signature((_A,), _A, 2, MOST_ARGUMENTS, alike=0),
    "if_missing": Signature((_A,), _A, 2, 2, alike=0),
    "is_missing": _fixed(_A),
    **dict.fromkeys(("hour", "minute", "day_of_week", "day", "month", "year"), _fixed(_A)),
    "parse_time": Signature((_A, _T), _N, 1, 2),
    **dict.fromkeys(("seconds", "minutes", "hours", "days"), _fixed(_N)),
    "text": _fixed(_A, result=_T),
    "concat": Signature((_A,), _T, 1, MOST_ARGUMENTS),
}
# What operators become.
OPERATORS: Final[Mapping[str, Signature]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "floor_divide", "modulo", "power"), _fixed(_N, _N)),
    "negative": _fixed(_N),
    "positive": _fixed(_N),
    "not": _fixed(_N),
    "and": Signature((_N,), _N, 2, 1_000),
    "or": Signature((_N,), _N, 2, 1_000),
    "choose": Signature((_N, _A), _A, 3, 3, alike=1),
}
COMPARISONS: Final = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def infer_kind(node: Node, kinds: Mapping[str, Kind], text: str) -> Kind:
    """Kind of what `node` gives, names being of `kinds` (ANY if absent). Raises ExpressionError on a mismatch."""
    match node:
        case Constant(value=value):
            return Kind.ANY if value is None else _kind_of(value)
        case Name(name=name):
            return kinds.get(name, Kind.ANY)
        case Member(operand=operand, options=options):
            found = infer_kind(operand, kinds, text)
            _one_kind((found, _kind_of(options[0])), node.column, text)
            return Kind.NUMBER
        case Compare(operands=operands):
            found = tuple(infer_kind(operand, kinds, text) for operand in operands)
            for left, right in pairwise(found):
                _one_kind((left, right), node.column, text)
            return Kind.NUMBER
        case Apply():
            return _infer_apply(node, kinds, text)


def _infer_apply(node: Apply, kinds: Mapping[str, Kind], text: str) -> Kind:
    signature = FUNCTIONS.get(node.operation) or OPERATORS[node.operation]
    found = tuple(infer_kind(argument, kinds, text) for argument in node.arguments)
    for position, (argument, kind) in enumerate(zip(node.arguments, found, strict=True)):
        wanted = signature.arguments[min(position, len(signature.arguments) - 1)]
        if Kind.ANY not in (wanted, kind) and wanted is not kind:
            advice = "; numbers from a time: parse_time(x); joining texts: concat(a, b)" if wanted is _N else ""
            raise ExpressionError(
                text, argument.column, f"a {kind} in {node.operation}", f"it takes a {wanted} there{advice}"
            )
    return signature.result if signature.alike is None else _one_kind(found[signature.alike :], node.column, text)


def _one_kind(found: tuple[Kind, ...], column: int, text: str) -> Kind:
    known = {kind for kind in found if kind is not Kind.ANY}
    if len(known) > 1:
        raise ExpressionError(text, column, "a number beside a text", "both must be of one kind; text(x) makes a text")
    return known.pop() if known else Kind.ANY


def _kind_of(value: float | str) -> Kind:
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER
