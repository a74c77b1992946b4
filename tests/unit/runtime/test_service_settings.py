"""A variable that does not fit is named by every service, and nothing starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from shared.runtime.settings import STOPPED_FOR_GOOD, ServiceSettings, SettingsInvalid, from_environment


@pytest.mark.parametrize(("name", "value"), [("PORT", "abc"), ("PORT", "70000"), ("LOG_LEVEL", "loud")])
def test_a_variable_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HEADRACE_{name}", value)
    with pytest.raises(SettingsInvalid, match=f"HEADRACE_{name}: .*Mend the environment"):
        from_environment(ServiceSettings)


def test_a_service_says_so_and_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.registry"],
        env=os.environ | {"HEADRACE_PORT": "abc"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == STOPPED_FOR_GOOD
    [said] = [json.loads(line) for line in ended.stderr.splitlines()]
    assert "HEADRACE_PORT" in said["event"]
    assert (said["level"], said["service"]) == ("error", "registry")
