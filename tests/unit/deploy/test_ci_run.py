"""`.ci/run` is the README's test command, under the rule that nothing is skipped for want of a file."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.unit.deploy.processes import REPOSITORY

TELLS = '#!/bin/sh\necho "$PWD CI=$CI make $*"\n'


def test_it_calls_exactly_the_test_command_of_the_readme(tmp_path: Path) -> None:
    make = tmp_path / "make"
    make.write_text(TELLS)
    make.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    ran = subprocess.run(
        [REPOSITORY / ".ci" / "run"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert re.search(r"^make test +#", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert ran.stdout == f"{REPOSITORY} CI=true make test\n"
