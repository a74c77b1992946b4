"""A copy of the working tree in which bugs are planted, one after the other; the tree itself stays as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

from tests.mutants.mutant import Mutant, planted

ROOT = Path(__file__).parents[2]
COPIED = ("shared", "services", "deploy", "examples", "tests", "pyproject.toml")
# What a test says when it fails of itself. Anything else, such as an import that fails, proves nothing.
ASSERTED = ("AssertionError", "assert", "Failed: DID NOT RAISE")


@dataclass(frozen=True, slots=True)
class Caught:
    """`what` fell, at which seed or in which test; None: nothing that counts, for the reason in `said`."""

    what: str | None
    where: str
    said: str
    seconds: float


class Tree:
    """One copy. Used as a context; belongs to one thread."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="headrace-mutants-")
        self.root = Path(self._folder.name)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, symlinks=True)
            else:
                shutil.copy2(source, self.root / name)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @contextmanager
    def planted(self, mutant: Mutant) -> Generator[None]:
        """With the bug in it."""
        texts = planted(self.root, mutant)
        clean = {path: path.read_text() for path in texts}
        for path, text in texts.items():
            _write(path, text)
        try:
            yield
        finally:
            for path, text in clean.items():
                _write(path, text)

    def notice(self, mutant: Mutant, seeds: str, limit_s: float) -> Caught:
        """Whether what is to notice this bug does."""
        began_s = time.perf_counter()
        with self.planted(mutant):
            if mutant.tests:
                what, where, said = self._failed_tests(mutant.tests, limit_s)
            else:
                what, where, said = self._fell(mutant, seeds, limit_s)
        return Caught(what, where, said, time.perf_counter() - began_s)

    # --- histories

    def _fell(self, mutant: Mutant, seeds: str, limit_s: float) -> tuple[str | None, str, str]:
        wanted = {str(one) for one in mutant.falls}
        other = ""
        for line in self.play(mutant.histories, seeds, sorted(wanted), limit_s):
            fell = {str(what): text for what, text in reversed(line["fell"])}
            counted = sorted(wanted & fell.keys(), key=_in_order)
            if counted:
                return ", ".join(counted), f"{mutant.histories} {line['seed']}", fell[counted[0]]
            other = "; ".join(f"{what}: {text}" for what, text in fell.items()) or line["stopped"] or other
        return None, f"{mutant.histories} {seeds}", other

    def play(self, histories: str, seeds: str, falls: Sequence[str], limit_s: float) -> list[dict[str, Any]]:
        """What each history says, until one of `falls` falls or the time is over."""
        command = ["-m", "tests.mutants.histories", histories, seeds, ",".join(falls)]
        out, error = self._python(command, limit_s)
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return [*lines, {"seed": "", "fell": [], "stopped": error}] if error else lines

    # --- tests

    def _failed_tests(self, tests: Sequence[str], limit_s: float) -> tuple[str | None, str, str]:
        failed = self.failed(tests, limit_s)
        wrong = [f"{name}: {said}" for name, said in failed.items() if not said.startswith(ASSERTED)]
        named = [test.rpartition("::")[2] for test in tests]
        missing = [name for name in named if not any(name in (one, one.partition("[")[0]) for one in failed)]
        if wrong or missing:
            return None, ", ".join(missing), "; ".join(wrong)
        return "test", ", ".join(named), next(iter(failed.values()))

    def failed(self, tests: Sequence[str], limit_s: float) -> dict[str, str]:
        """The tests that fail, and what each says."""
        report = self.root / "failed.xml"
        report.unlink(missing_ok=True)
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        _, error = self._python(command, limit_s)
        if not report.exists():
            return {"pytest": error}
        found: dict[str, str] = {}
        for case in ElementTree.parse(report).iter("testcase"):
            for kind in ("failure", "error"):
                for one in case.findall(kind):
                    said = one.get("message") or ""
                    found[case.get("name") or ""] = said if kind == "failure" else f"{kind}: {said}"
        return found

    def _python(self, arguments: Sequence[str], limit_s: float) -> tuple[str, str]:
        env = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONHASHSEED": "0"}
        command = [sys.executable, *arguments]
        try:
            done = subprocess.run(
                command, cwd=self.root, env=env, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired as late:
            return (late.stdout or b"").decode(), f"stopped after {limit_s:g} s"
        return done.stdout, done.stderr[-2_000:] if done.returncode else ""


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    # What was compiled of it is told apart by time and size alone, and both may be the same again.
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _in_order(what: str) -> tuple[int, str]:
    return (int(what), "") if what.isdecimal() else (99, what)
