"""A planted bug: what it changes, which guarantee that breaks, and what must notice it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Beside the numbers of invariants: lockstep decides alike; who follows a table knows what its log says; heads bring in
# the control positions that ticks name; outcomes are decided in the order of time and id; nothing hangs.
ALIKE, REPLICAS, SETTLES = "alike", "replicas", "settles"
Falls = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` stands exactly once in the file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks`: the guarantee, as the design states it; `section`: where.

    Noticed by one kind of simulated `histories`, where one of `falls` (an invariant by number, or one of those above)
    no longer holds at some seed; or by `tests`, all of which fail. `fast`: `make test` looks at it too, at this seed.
    """

    name: str
    section: str
    breaks: str
    edits: tuple[Edit, ...]
    falls: Falls = ()
    histories: str = "brief"
    tests: tuple[str, ...] = ()
    fast: int | None = None


class DoesNotApply(AssertionError):
    """The source has changed, and the mutation with it must."""

    def __init__(self, mutant: str, edit: Edit, times: int) -> None:
        super().__init__(f"{mutant}: stands {times} times in {edit.file}, not once: {edit.old!r}")


def planted(root: Path, mutant: Mutant) -> dict[Path, str]:
    """The text of each file with the bug in it. Raises DoesNotApply."""
    texts: dict[Path, str] = {}
    for edit in mutant.edits:
        path = root / edit.file
        text = texts.get(path) or path.read_text()
        if text.count(edit.old) != 1:
            raise DoesNotApply(mutant.name, edit, text.count(edit.old))
        texts[path] = text.replace(edit.old, edit.new)
    return texts
