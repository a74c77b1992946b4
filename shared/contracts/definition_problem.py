"""What is wrong with a definition: where, what was found, and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason to refuse a definition. `path` leads from its top to the value, such as ("inputs", "fields", 0)."""

    kind: str
    name: str
    path: Path
    message: str

    @property
    def where(self) -> str:
        """The path as people write it: `inputs.fields[0]`."""
        return dotted(self.path)

    def __str__(self) -> str:
        return ": ".join(part for part in (f"{self.kind} {self.name}", self.where, self.message) if part)


def dotted(path: Path) -> str:
    """`("inputs", "fields", 0)` -> `inputs.fields[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """The nearest known name as a question, else all that are known."""
    names = sorted(known)
    near = get_close_matches(found, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(names)}" if names else "none is known"
