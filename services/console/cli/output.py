"""How commands say something: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "-"


def print_json(document: Any) -> None:
    """A result for machines: the only thing on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Progress and advice, on standard error."""
    sys.stderr.write(f"{text}\n")


def print_text(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> Table:
    """A table; `right`: columns of numbers. None is shown as a dash."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = set(right)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell(value)) for value in row))
    return made


def show(*parts: Any) -> None:
    """Tables and text on standard output, as wide as the terminal; piped, as wide as they need to be."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 200)
    for part in parts:
        console.print(part, markup=False, highlight=False)


def cell(value: Any) -> str:
    """A value as people read it in a table."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(str, value)) or NOTHING
        case _:
            return str(value)
