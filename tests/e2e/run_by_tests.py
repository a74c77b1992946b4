"""Whether the source of a test runs a command, as its syntax tree says: to name or import one is not to run it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

# What runs a command: of subprocess, deploy.spawn, reader.py and staying_command.py.
RUNNERS = frozenset({"run", "running", "watch", "Popen", "spawn", "staying"})


def runs(source: str, says: str) -> bool:
    """Whether a function of `source` gives `says` to a runner, within a text or side by side in a list.

    `says`: a name, or the words of the command as Python has them, with commas between: `"make", "demo"`.
    """
    expression = ast.parse(says, mode="eval").body
    wanted = _words(expression) or [ast.unparse(expression)]
    return any(
        wanted == words[start : start + len(wanted)]
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef)
        for words in _given_to_runners(function)
        for start in range(len(words))
    )


def _given_to_runners(function: ast.FunctionDef) -> Iterator[list[str]]:
    lists = {
        target.id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and _called(call) in RUNNERS:
            for argument in call.args:
                yield from _within(argument, lists)


def _within(argument: ast.expr, lists: Mapping[str, ast.expr]) -> Iterator[list[str]]:
    meant = lists.get(argument.id, argument) if isinstance(argument, ast.Name) else argument
    for node in ast.walk(meant):
        if isinstance(node, ast.Name):
            yield [node.id]
        elif isinstance(node, ast.expr):
            yield _words(node)


def _words(node: ast.expr) -> list[str]:
    return [ast.unparse(word) for word in node.elts] if isinstance(node, ast.List | ast.Tuple) else []


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""
