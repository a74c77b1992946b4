"""`--help` answers without what the commands need: what it loads is looked at, for a machine's speed is no property."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HEAVY = (
    "deploy", "fastapi", "httpx", "kafka", "numpy", "onnxruntime", "orjson", "pandas", "polars", "prometheus_client",
    "pyarrow", "pydantic", "rich", "sklearn", "structlog", "uvicorn", "yaml",
)  # fmt: skip
COMMANDS = (
    "up", "demo", "replay", "apply", "status", "publish", "rejected", "models", "runs", "why", "approve", "promote",
    "rollback", "release", "retrain", "doctor", "archive",
)  # fmt: skip
GROUPS = {"dead": ("list", "show", "replay"), "backtest": ("drift", "policy")}
IN_GROUPS = [f"{group} {command}" for group, commands in GROUPS.items() for command in commands]


def loaded_by(*arguments: str, before: str = "") -> tuple[list[str], str]:
    """Which heavy libraries a fresh interpreter holds after a command line, and what that printed."""
    script = (
        f"import json, sys\n{before}\nfrom services.console.cli import main\ncode = main({list(arguments)!r})\n"
        f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    *printed, last = ran.stdout.splitlines()
    code, loaded = json.loads(last)
    assert code == 0, ran.stderr
    return loaded, "\n".join(printed)


def test_the_help_of_the_program_names_every_command_and_loads_nothing_heavy() -> None:
    loaded, printed = loaded_by("--help")
    assert loaded == []
    listed = [line.split()[0] for line in printed.partition("Commands:")[2].splitlines() if line.strip()]
    assert sorted(listed) == sorted((*COMMANDS, *GROUPS))


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_a_group_names_its_commands_and_loads_nothing_heavy(group: str) -> None:
    loaded, printed = loaded_by(group, "--help")
    assert loaded == []
    listed = [line.split()[0] for line in printed.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert tuple(listed) == GROUPS[group]


@pytest.mark.parametrize("command", [*COMMANDS, *IN_GROUPS])
def test_the_help_of_a_command_offers_json_and_loads_nothing_heavy(command: str) -> None:
    loaded, printed = loaded_by(*command.split(), "--help")
    assert loaded == []
    assert printed.startswith(f"Usage: headrace {command} ")
    assert "--json" in printed


def test_a_heavy_library_is_noticed() -> None:
    assert loaded_by("up", "--help", before="import yaml")[0] == ["yaml"]
