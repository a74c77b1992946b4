"""`.ci/run` is the README's test command, under the rule that nothing is skipped for want of a file."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.processes import REPOSITORY

TELLS = '#!/bin/sh\necho "$PWD CI=$CI make $*"\n'


def test_it_calls_exactly_the_test_command_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = tmp_path / "make"
    make.write_text(TELLS)
    make.chmod(0o755)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    ran = subprocess.run([REPOSITORY / ".ci" / "run"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.search(r"^make test +#", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert ran.stdout == f"{REPOSITORY} CI=true make test\n"
