"""What must stand in no tracked file: paths of one machine, package index addresses, unfinished work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# Each pattern is put together from parts, so that this file does not match itself.
FORBIDDEN = {
    "a path of one machine": re.compile(
        r"(?<![\w.])/(" + "|".join(("work", "root", r"home/\w+", r"Users/\w+")) + r")(?=/|\b)"
    ),
    "a package index": re.compile(
        "|".join(
            (
                r"py" + r"pi\.org",
                r"pythonhosted" + r"\.org",
                r"registry\.npm" + r"js\.org",
                r"repo1?\.maven" + r"(\.apache)?\.org",
                r"--(extra-)?index" + r"-url[ =]+\S*://",
                r"(index|find)[-_](url|links)" + r"\s*=\s*\S*://",
            )
        )
    ),
    "unfinished work": re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|X" + "XX" + r")\b"),
}


def _violations(text: str) -> list[str]:
    return [
        f"line {number}: {what}: {match.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        if (match := pattern.search(line))
    ]


def _tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True
    ).stdout
    return [REPOSITORY / name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]


def test_no_tracked_file_holds_what_is_forbidden() -> None:
    files = _tracked_files()
    assert REPOSITORY / "pyproject.toml" in files
    found = {
        str(file.relative_to(REPOSITORY)): violations
        for file in files
        if (violations := _violations(file.read_bytes().decode(errors="ignore")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "data = '/wo" + "rk/shared/data'",
        "see /ro" + "ot/.cache",
        "/ho" + "me/somebody/x",
        "https://py" + "pi.org/simple",
        "https://files.pythonhosted" + ".org/x",
        "index-" + "url = https://here/simple",
        "--extra-index-" + "url https://here/simple",
        "# TO" + "DO later",
        "FIX" + "ME",
    ],
)
def test_a_planted_line_is_found(line: str) -> None:
    assert len(_violations(f"fine\n{line}\n")) == 1


@pytest.mark.parametrize(
    "line", ["../shared/data", "services/work/x.py", "a.work/b", "--no-emit-index-url", "todo list"]
)
def test_what_is_allowed_is_not_found(line: str) -> None:
    assert _violations(line) == []
