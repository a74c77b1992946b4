"""The expression language of definitions: `amount / (card_activity.spend_mean_1h + 1)`.

An expression is parsed once to a whitelisted tree and compiled to closures; there is no `eval`. What computes is an
argument (`Functions`): `scalar_functions.SCALAR` for one record, `shared.inputs.column_functions.COLUMNS` for columns.
Both give the same values:

- Values are numbers (doubles), texts, or missing (None; in columns NaN or None). Booleans are 1.0 and 0.0.
- Arithmetic and comparisons with a missing value are missing. So is what has no finite answer (division by zero, log of
  what is not positive, overflow), and what is asked of the wrong kind (a text plus a number).
- `and`, `or`, `not` are three-valued: 0 and missing is 0, 1 or missing is 1, else missing stays missing. A choice
  `a if c else b` is missing where c is.
- Times are epoch milliseconds in UTC. Calendar functions take milliseconds or RFC 3339; Monday is day_of_week 0.
- `row` is a name like any other; it is there where the caller supplies it (replays: the row number from 0).
- `field('class')` reads a name that Python's grammar does not admit as a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from shared.contracts.expression_parser import parse_tree
from shared.contracts.expression_tree import (
    Apply,
    Compare,
    Constant,
    ExpressionError,
    Kind,
    Member,
    Name,
    Node,
    infer_kind,
)

__all__ = ["Expression", "ExpressionError", "Functions", "Kind", "Lookup", "Value", "evaluate", "parse"]

# What one record gives. A set of functions for columns has its own representation, hence Any in what follows.
Value = float | str | None
Lookup = Callable[[str], Any]
Compiled = Callable[[Lookup], Any]


@dataclass(frozen=True, eq=False, slots=True)
class Functions:
    """What computes an expression: one representation of values, and every operation on it.

    `load` brings a looked-up value into that representation; `load_exact` keeps integers whole, for text(id).
    `operations` is keyed by the names in `expression_tree` (FUNCTIONS, OPERATORS, COMPARISONS), and `is_in`, which
    takes the operand and a tuple of constants.
    """

    load: Callable[[Any], Any]
    load_exact: Callable[[Any], Any]
    operations: Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. Equal to another of the same text."""

    text: str
    root: Node = field(compare=False, repr=False)
    names: frozenset[str] = field(compare=False, repr=False)
    _compiled: dict[Functions, Compiled] = field(default_factory=dict, compare=False, repr=False)

    def compiled(self, functions: Functions) -> Compiled:
        """The expression as nested closures, made once: `compiled(SCALAR)(record.get)`."""
        found = self._compiled.get(functions)
        if found is None:
            found = self._compiled[functions] = _compile(self.root, functions)
        return found

    def check(self, kinds: Mapping[str, Kind]) -> Kind:
        """Kind of the result, for names of these kinds.

        Raises ExpressionError for a name that is not among them, or where a kind does not fit.
        """
        for name in _names(self.root):
            if name.name not in kinds:
                near = get_close_matches(name.name, kinds, n=1)
                known = f"known are {', '.join(sorted(kinds)) or 'none'}"
                raise ExpressionError(
                    self.text, name.column, f"the name {name.name!r}", f"did you mean {near[0]}?" if near else known
                )
        return infer_kind(self.root, kinds, self.text)

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Expression:
    """The expression that `text` spells. Raises ExpressionError (a ValueError): column, what was found, what may be."""
    root = parse_tree(text)
    infer_kind(root, {}, text)
    return Expression(text, root, frozenset(name.name for name in _names(root)))


def evaluate(expression: Expression, lookup: Lookup | Mapping[str, Any], functions: Functions) -> Any:
    """The value of `expression`, its names read through `lookup`; a name that a mapping lacks is missing.

    In a loop call `expression.compiled(functions)` once and the result with each lookup.
    """
    return expression.compiled(functions)(lookup.get if isinstance(lookup, Mapping) else lookup)


def _names(node: Node) -> Iterator[Name]:
    match node:
        case Name():
            yield node
        case Constant():
            return
        case Member(operand=operand):
            yield from _names(operand)
        case Apply(arguments=parts) | Compare(operands=parts):
            for part in parts:
                yield from _names(part)


def _compile(node: Node, functions: Functions) -> Compiled:
    match node:
        case Constant(value=value):
            constant = functions.load(value)
            return lambda _: constant
        case Name(name=name):
            return _compile_name(name, functions.load)
        case Member(operand=operand, options=options):
            is_in, inner = functions.operations["is_in"], _compile(operand, functions)
            return lambda lookup: is_in(inner(lookup), options)
        case Compare():
            return _compile_compare(node, functions)
        case Apply():
            return _compile_apply(node, functions)


def _compile_name(name: str, load: Callable[[Any], Any]) -> Compiled:
    return lambda lookup: load(lookup(name))


def _compile_apply(node: Apply, functions: Functions) -> Compiled:
    operation = functions.operations[node.operation]
    exact = node.operation in ("text", "concat")
    arguments = tuple(
        _compile_name(argument.name, functions.load_exact)
        if exact and isinstance(argument, Name)
        else _compile(argument, functions)
        for argument in node.arguments
    )
    match arguments:
        case (only,):
            return lambda lookup: operation(only(lookup))
        case (left, right):
            return lambda lookup: operation(left(lookup), right(lookup))
        case _:
            return lambda lookup: operation(*[argument(lookup) for argument in arguments])


def _compile_compare(node: Compare, functions: Functions) -> Compiled:
    operands = tuple(_compile(operand, functions) for operand in node.operands)
    links = tuple(functions.operations[name] for name in node.operations)
    if len(links) == 1:
        (left, right), link = operands, links[0]
        return lambda lookup: link(left(lookup), right(lookup))
    every = functions.operations["and"]

    def chained(lookup: Lookup) -> Any:
        # Each operand once: a chain within a chain would else cost twice as much at each level.
        values = [operand(lookup) for operand in operands]
        return every(*[link(values[i], values[i + 1]) for i, link in enumerate(links)])

    return chained
