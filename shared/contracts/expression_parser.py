"""From the text of an expression to its tree: Python's parser, then a whitelist. Nothing is ever executed."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from shared.contracts.expression_tree import (
    FUNCTIONS,
    Apply,
    Compare,
    Constant,
    ExpressionError,
    Member,
    Name,
    Node,
)
from shared.contracts.instants import check_format

LONGEST: Final = 1_000
DEEPEST: Final = 100
LARGEST_EXPONENT: Final = 100
_LARGEST_INTEGER: Final = 2**53

_ALLOWED = (
    "allowed are numbers, texts, True, False, None, names, view.feature, + - * / // % **, comparisons, "
    "and, or, not, 'a if c else b', 'x in (1, 2)' and calls of the listed functions"
)
_BINARY: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "modulo",
    ast.Pow: "power",
}
_UNARY: Final[Mapping[type[ast.unaryop], str]] = {ast.USub: "negative", ast.UAdd: "positive", ast.Not: "not"}
_COMPARE: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
}
_SAID: Final[Mapping[type[ast.AST], str]] = {
    ast.Attribute: "an attribute of something other than a view",
    ast.Subscript: "a subscript [...]",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment :=",
    ast.Starred: "a starred argument",
    ast.Tuple: "a tuple outside of 'in'",
    ast.List: "a list outside of 'in'",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}


def parse_tree(text: str) -> Node:
    """The whitelisted tree of `text`. Raises ExpressionError with the column of what is not allowed."""
    if len(text) > LONGEST:
        raise ExpressionError(text, LONGEST + 1, f"{len(text)} characters", f"at most {LONGEST} are allowed")
    if not text.strip():
        raise ExpressionError(text, 1, "nothing", _ALLOWED)
    if "\\" in text:
        raise ExpressionError(text, text.index("\\") + 1, "a backslash", "write texts without escapes")
    # A folded YAML text may have several lines; after a comment a line break means something.
    source = text if "#" in text else " ".join(text.splitlines())
    stripped = source.lstrip()
    try:
        body = ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        # Python gives no offset, or 0, where the text ends too early.
        column = (error.offset or len(stripped) + 1) + len(source) - len(stripped)
        raise ExpressionError(text, column, f"no expression ({error.msg})", _ALLOWED) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(text, 1, f"what cannot be parsed ({error})", f"nest at most {DEEPEST} deep") from None
    return _Builder(text, source, len(source) - len(stripped)).build(body, 1)


class _Builder:
    def __init__(self, text: str, source: str, shift: int) -> None:
        self._text = text
        self._shift = shift
        self._encoded = source[shift:].encode()

    def _column(self, node: ast.AST) -> int:
        # ast counts bytes; people count characters.
        offset: int = getattr(node, "col_offset", 0)
        return len(self._encoded[:offset].decode(errors="ignore")) + self._shift + 1

    def _refused(self, node: ast.AST, found: str, allowed: str = _ALLOWED) -> ExpressionError:
        return ExpressionError(self._text, self._column(node), found, allowed)

    def build(self, node: ast.expr, depth: int) -> Node:
        if depth > DEEPEST:
            raise self._refused(node, "an expression nested too deep", f"nest at most {DEEPEST} deep")
        column = self._column(node)
        match node:
            case ast.Constant():
                return Constant(self._constant(node), column)
            case ast.Name() | ast.Attribute():
                return self._name(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                built = (self.build(left, depth + 1), self.build(right, depth + 1))
                if isinstance(op, ast.Pow):
                    self._check_exponent(right)
                return Apply(_BINARY[type(op)], built, column)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return Apply(_UNARY[type(op)], (self.build(operand, depth + 1),), column)
            case ast.BoolOp(op=op, values=values):
                name = "and" if isinstance(op, ast.And) else "or"
                return Apply(name, tuple(self.build(value, depth + 1) for value in values), column)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return Apply("choose", tuple(self.build(part, depth + 1) for part in (test, body, orelse)), column)
            case ast.Compare():
                return self._compare(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case _:
                raise self._refused(node, _said(node))

    def _constant(self, node: ast.Constant) -> float | str | None:
        value: object = node.value
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return float(value)
        if isinstance(value, int):
            if value > _LARGEST_INTEGER:
                raise self._refused(
                    node, "an integer beyond 2**53", "numbers are doubles; write it as a text if it is an id"
                )
            return float(value)
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise self._refused(node, f"a {type(value).__name__} constant {value!r:.20}")

    def _name(self, node: ast.Name | ast.Attribute) -> Name:
        match node:
            case ast.Name(id=name):
                pass
            case ast.Attribute(value=ast.Name(id=view), attr=feature):
                name = f"{view}.{feature}"
            case _:
                raise self._refused(
                    node, _said(node), "a dot stands only between a view and its feature, as in view.feature"
                )
        if any(part.startswith("__") for part in name.split(".")):
            raise self._refused(node, f"the name {name!r}", "names do not begin with two underscores")
        return Name(name, self._column(node))

    def _check_exponent(self, exponent: ast.expr) -> None:
        match exponent:
            case (
                ast.Constant(value=int() | float() as value)
                | ast.UnaryOp(operand=ast.Constant(value=int() | float() as value))
            ) if value > LARGEST_EXPONENT:
                raise self._refused(exponent, f"the exponent {value!r:.20}", f"exponents reach to {LARGEST_EXPONENT}")
            case _:
                pass

    def _compare(self, node: ast.Compare, depth: int) -> Node:
        operands = (node.left, *node.comparators)
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            return self._member(node, depth)
        for op, operand in zip((None, *node.ops), operands, strict=True):
            if isinstance(operand, ast.Constant) and operand.value is None:
                raise self._refused(operand, "a comparison with None", "ask is_missing(x) instead")
            if op is not None and type(op) not in _COMPARE:
                raise self._refused(
                    operand, "'is' or a chained 'in'", "allowed are == != < <= > >=, and 'x in (1, 2)' alone"
                )
        built = tuple(self.build(operand, depth + 1) for operand in operands)
        return Compare(built, tuple(_COMPARE[type(op)] for op in node.ops), self._column(node))

    def _member(self, node: ast.Compare, depth: int) -> Node:
        options = node.comparators[0]
        if len(node.ops) > 1:
            raise self._refused(node.comparators[1], "a chained 'in'", "write (x in (1, 2)) and ...")
        if not isinstance(options, ast.Tuple | ast.List) or not options.elts:
            raise self._refused(options, "'in' without a list", "write the values out, as in x in ('a', 'b')")
        values = [self._option(element) for element in options.elts]
        numbers = tuple(value for value in values if isinstance(value, float))
        texts = tuple(value for value in values if isinstance(value, str))
        if numbers and texts:
            raise self._refused(options, "numbers beside texts", "the values must be all numbers or all texts")
        column = self._column(node)
        member = Member(self.build(node.left, depth + 1), numbers or texts, column)
        return Apply("not", (member,), column) if isinstance(node.ops[0], ast.NotIn) else member

    def _option(self, element: ast.expr) -> float | str:
        negative = isinstance(element, ast.UnaryOp) and isinstance(element.op, ast.USub)
        constant = element.operand if isinstance(element, ast.UnaryOp) and negative else element
        value = self._constant(constant) if isinstance(constant, ast.Constant) else None
        if value is None or (negative and isinstance(value, str)):
            raise self._refused(element, _said(element), "the values after 'in' are plain numbers or texts")
        return -value if negative and isinstance(value, float) else value

    def _call(self, node: ast.Call, depth: int) -> Node:
        function = node.func.id if isinstance(node.func, ast.Name) else None
        if function is None:
            raise self._refused(node, "a call of something that is no function", _functions())
        if node.keywords:
            raise self._refused(node.keywords[0], "a named argument", f"{function} takes its arguments by position")
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                raise self._refused(argument, _said(argument), f"write the arguments of {function} out")
        if function == "field":
            return self._field(node)
        signature = FUNCTIONS.get(function)
        if signature is None:
            near = get_close_matches(function, FUNCTIONS, n=1)
            raise self._refused(
                node, f"the function {function!r}", f"did you mean {near[0]}?" if near else _functions()
            )
        if not signature.fewest <= len(node.args) <= signature.most:
            span = f"{signature.fewest}" if signature.fewest == signature.most else f"at least {signature.fewest}"
            if signature.fewest < signature.most and len(node.args) > signature.most:
                span = f"at most {signature.most}"
            raise self._refused(node, f"{len(node.args)} arguments for {function}", f"it takes {span}")
        arguments = tuple(self.build(argument, depth + 1) for argument in node.args)
        if function == "parse_time" and len(arguments) == 2:
            self._check_format(node.args[1], arguments[1])
        return Apply(function, arguments, self._column(node))

    def _field(self, node: ast.Call) -> Name:
        match node.args:
            case [ast.Constant(value=str() as name)] if name and not name.startswith("__"):
                return Name(name, self._column(node))
            case _:
                raise self._refused(node, "field without a name", "write field('name') with the name as a text")

    def _check_format(self, node: ast.expr, pattern: Node) -> None:
        if not isinstance(pattern, Constant) or not isinstance(pattern.value, str):
            raise self._refused(node, "a time format that is no text", "write it out, as in parse_time(x, 'YYYYMMDD')")
        try:
            check_format(pattern.value)
        except ValueError as error:
            raise self._refused(node, "an unknown time format", str(error)) from None


def _said(node: ast.AST) -> str:
    return _SAID.get(type(node), f"a {type(node).__name__}")


def _functions() -> str:
    return f"the functions are {', '.join((*FUNCTIONS, 'field'))}"
