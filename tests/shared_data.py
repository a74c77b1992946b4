"""The real files that lie beside the repository, and the one rule for where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_file(name: str) -> Path:
    """The file `name`. Where it is absent the test is skipped, and says so; under CI=true it fails.

    Call it within a test or a fixture, not while tests are collected.
    """
    path = SHARED_DATA / name
    if not path.exists():
        message = f"../shared/data/{name} is absent: this test reads the real files beside the repository"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
