"""What a Markdown document of this project consists of: fenced blocks, and tables under headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[3] / "docs"


class Row(NamedTuple):
    """A row of a table, under the heading that stands nearest above it."""

    heading: str
    cells: tuple[str, ...]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def rows(text: str) -> Iterator[Row]:
    """The rows of all tables, without their heads."""
    heading, lines = "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if line.startswith("#"):
            heading = line.lstrip("# ").replace("\\", "")
        elif line.startswith("|") and above.startswith("|") and not line.startswith("|---"):
            yield Row(heading, tuple(cell.strip() for cell in line.strip("|").split("|")))
