from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.import_rules import RULES, Rule

REPOSITORY = Path(__file__).parents[2]
LIGHT_SERVICES = frozenset({"ingestion", "features", "registry", "serving", "monitoring", "console"})
HEAVY = ("sklearn", "pandas", "river")

# For each rule, files that break it in every way that counts; each line must be found.
PLANTED: dict[str, list[tuple[str, str]]] = {
    "no_service_imports_another": [
        ("services/a/app.py", "import services.b.app"),
        ("services/a/app.py", "from services.b import app"),
        ("services/a/deep/app.py", "from services import b"),
        ("services/a/deep/app.py", "def f():\n    from ...b import app"),
        ("services/a/app.py", "import importlib\nimportlib.import_module('services.b')"),
    ],
    "contracts_import_only_pydantic_and_the_standard_library": [
        ("shared/contracts/a.py", "import numpy as np"),
        ("shared/contracts/a.py", "from shared.runtime import log"),
        ("shared/contracts/a.py", "from ..runtime import log"),
        ("shared/contracts/a.py", "if True:\n    import yaml"),
    ],
    "shared_imports_no_service_and_no_deployment": [
        ("shared/runtime/a.py", "from services.a import app"),
        ("shared/inputs/a.py", "import deploy.ports"),
        ("shared/a.py", "from tests import builders"),
    ],
    "one_folder_imports_kafka": [
        ("shared/runtime/other.py", "import kafka"),
        ("shared/runtime/kafka_reader.py", "def f():\n    from kafka.structs import TopicPartition"),
        ("shared/runtime/kafka_clients.py", "import kafka"),
        ("shared/runtime/kafka_clients_too/a.py", "import kafka"),
        ("shared/runtime/kafka_clients/deep/a.py", "import kafka"),
        ("services/kafka_clients/a.py", "import kafka"),
        ("services/a/app.py", "from kafka.errors import KafkaError"),
        ("deploy/local/a.py", "from kafka import KafkaConsumer"),
    ],
    "nothing_imports_what_runs_code_on_loading": [
        ("services/a/app.py", "import pickle"),
        ("shared/a.py", "from joblib import load"),
        ("deploy/a.py", "import cloudpickle.cloudpickle"),
        ("tests/a.py", "import dill"),
        ("services/a/app.py", "__import__('pickle')"),
    ],
    "only_the_step_catches_everything": [
        ("services/a/app.py", "try:\n    pass\nexcept Exception:\n    pass"),
        ("services/a/app.py", "try:\n    pass\nexcept:\n    pass"),
        ("shared/runtime/other.py", "try:\n    pass\nexcept (ValueError, BaseException) as error:\n    print(error)"),
        ("deploy/a.py", "try:\n    pass\nexcept BaseException:\n    print()\n    raise"),
    ],
    "nothing_uses_transactions": [
        ("shared/runtime/kafka_clients/a.py", "producer = KafkaProducer(transactional_id='a')"),
        ("shared/runtime/kafka_clients/a.py", "options = {'transactional_id': 'a'}"),
        ("shared/runtime/kafka_writer.py", "def f(producer):\n    producer.begin_transaction()"),
        ("shared/runtime/kafka_writer.py", "def f(producer):\n    producer.commit_transaction()"),
        ("shared/runtime/kafka_writer.py", "def f(producer):\n    producer.send_offsets_to_transaction({}, 'g')"),
        ("deploy/a.py", "getattr(producer, 'init_transactions')()"),
        ("tests/a.py", "producer.abort_transaction()"),
    ],
    "ends_come_from_fetches": [
        ("shared/runtime/kafka_reader.py", "def f(consumer, tp):\n    return consumer.end_offsets([tp])[tp]"),
        ("services/a/app.py", "consumer.seek_to_end()"),
    ],
    "services_is_no_package": [("services/__init__.py", "")],
}
ALLOWED = [
    ("services/a/app.py", "from services.a import windows\nfrom . import windows\nfrom shared.contracts import topics"),
    (
        "shared/contracts/a.py",
        "import math\nfrom pydantic import Field\nfrom . import b\nfrom shared.contracts.b import C",
    ),
    ("shared/runtime/kafka_clients/a.py", "import kafka\nfrom kafka import KafkaConsumer"),
    ("shared/runtime/a.py", "from shared.runtime.kafka_clients.a import Consumer"),
    ("shared/runtime/step.py", "try:\n    pass\nexcept Exception:\n    pass"),
    ("deploy/a.py", "import services.a.app\ntry:\n    pass\nexcept (OSError, ValueError):\n    pass"),
    ("tests/a.py", "import kafka\nassert consumer.end_offsets([tp]) != 3"),
    ("shared/runtime/a.py", '"""It uses no transactional_id and no end_offsets."""'),
]


def _plant(root: Path, file: str, source: str) -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def _named(name: str) -> Rule:
    return next(rule for rule in RULES if rule.__name__ == name)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    assert rule(REPOSITORY) == []


@pytest.mark.parametrize(("name", "file", "source"), [(name, *one) for name, all_ in PLANTED.items() for one in all_])
def test_a_planted_violation_is_found(name: str, file: str, source: str, tmp_path: Path) -> None:
    _plant(tmp_path, file, source)
    found = _named(name)(tmp_path)
    assert [violation.partition(":")[0].partition(" ")[0] for violation in found] == [file]


def test_every_rule_has_a_planted_violation() -> None:
    assert PLANTED.keys() == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_allowed_is_not_found(rule: Rule, tmp_path: Path) -> None:
    for file, source in ALLOWED:
        _plant(tmp_path, file, source)
    assert rule(tmp_path) == []


def _loaded_by(module: str, root: Path) -> list[str]:
    """Which heavy libraries a fresh interpreter holds after importing `module`."""
    script = (
        f"import importlib, json, sys; sys.path.insert(0, {str(root)!r}); importlib.import_module({module!r});"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False, cwd=root)
    assert result.returncode == 0, f"{module} can't be imported:\n{result.stderr}"
    return json.loads(result.stdout.splitlines()[-1])


def _apps() -> list[str]:
    apps = REPOSITORY.glob("services/*/app.py")
    return sorted(f"services.{app.parent.name}.app" for app in apps if app.parent.name in LIGHT_SERVICES)


@pytest.mark.parametrize("module", _apps())
def test_a_light_service_loads_no_heavy_library(module: str) -> None:
    assert _loaded_by(module, REPOSITORY) == []


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_is_noticed(library: str, tmp_path: Path) -> None:
    _plant(tmp_path, "services/planted/app.py", f"import {library}")
    assert library in _loaded_by("services.planted.app", tmp_path)
