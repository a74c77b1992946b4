"""The commands that the README, two documents and the examples show, and which test runs each."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
READ = (
    "README.md", "docs/operations.md", "docs/replay.md", "examples/card_fraud/README.md",
    "examples/electricity/README.md", "examples/bike/README.md",
)  # fmt: skip
DOCUMENTS = {name: (ROOT / name).read_text() for name in READ}
README = DOCUMENTS["README.md"]

UP = "headrace up --definitions examples/orders/definitions.yaml"
UP_KAFKA = "headrace up --broker kafka"
UP_FRESH = "headrace up --broker kafka --fresh"
RELEASE = "headrace release features 2"
CLONE = "git clone <this repository> headrace && cd headrace"
SETUP = "make setup && source .venv/bin/activate"
HELP = "make help"
# What one reader types into one platform, in order: test_readme.py. Each start of a platform is named above.
IN_ORDER = list(
    dict.fromkeys(
        line.removeprefix("$ ")
        for block in re.findall(r"^```console\n(.*?)^```", "".join(DOCUMENTS.values()), re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
        if line.startswith("$ ") and line.removeprefix("$ ") not in (UP, UP_KAFKA, UP_FRESH, RELEASE)
    )
)
# Elsewhere: the command, the test that runs it, and how it says so.
ELSEWHERE = {
    UP: ("test_readme.py", "UP"),
    UP_KAFKA: ("test_start_again.py", "UP_KAFKA"),
    UP_FRESH: ("test_start_again.py", "UP_FRESH"),
    RELEASE: ("test_start_again.py", "RELEASE"),
    CLONE: ("test_start_again.py", "CLONE"),
    SETUP: ("test_start_again.py", "SETUP"),
    HELP: ("test_start_again.py", "HELP"),
    "make demo": ("conftest.py", '"make", "demo"'),
    "make demo-bad-candidate": ("test_demo.py", '"make", "demo-bad-candidate"'),
    'make demo ARGS="--no-drift"': (
        "test_demo.py",
        '"make", "demo", f"ARGS=--no-drift --json --port-base {PORT_BASE}"',
    ),
    "headrace replay --local examples/electricity/definitions.yaml electricity.csv": (
        "test_whole_files.py",
        'HEADRACE, "replay", "--local"',
    ),
    "headrace replay --local examples/bike/definitions.yaml bike-hour.csv": (
        "test_whole_files.py",
        'HEADRACE, "replay", "--local"',
    ),
    "headrace publish SOURCE": ("test_records_expired.py", 'HEADRACE, "publish"'),
    "headrace archive SOURCE": ("test_records_expired.py", 'HEADRACE, "archive"'),
    "python -m services.<name>": ("test_brokers.py", '"-m", f"services.{name}"'),
}
NOT_RUN = {
    "make test": "the test command itself",
    "make proof": "the test command of the long runs",
    "make chaos": "takes the better part of an hour; tests/chaos/test_chaos.py plays a dozen kills of it",
    "HEADRACE_TOKEN=choose-a-secret docker compose up --build": "needs a Docker engine",
}


def shown(text: str) -> list[str]:
    """Every command in a block of a document: `$ ` before it in a terminal's, else a line of its own."""
    found: list[str] = []
    for language, block in re.findall(r"^```(console|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if language == "sh" or line.startswith("$ "):
                found.append(line.removeprefix("$ ") if language == "console" else re.sub(r"\s+#.*", "", line))
    return [command for command in found if command]


def mentioned(text: str) -> list[str]:
    """Commands within sentences."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`((?:headrace|make|git|curl|docker|python|pip|sudo) [^`\n]+)`", prose)


def is_part_of(mention: str, command: str) -> bool:
    """In a sentence a command may lack options, and a word in capitals stands for any value."""
    words = [word for word in mention.split() if not word.isupper()]
    return command.split()[:2] == words[:2] and set(words) <= set(command.split())
