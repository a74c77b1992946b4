"""The architecture's rules as functions: a repository's root in, a list of violations out."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

SOURCE_FOLDERS = ("services", "shared", "deploy", "examples")
STEP = "shared/runtime/step.py"
KAFKA = "shared/runtime/kafka_clients"
THIS = "tests/architecture/import_rules.py"
LOADS_CODE = frozenset({"pickle", "_pickle", "joblib", "cloudpickle", "dill"})
# Of kafka-python: its transactions lose records (K1, K2), leak offsets (K3) and block past their limit (K5).
TRANSACTIONS = frozenset({
    "transactional_id", "transaction_timeout_ms", "init_transactions", "begin_transaction", "commit_transaction",
    "abort_transaction", "send_offsets_to_transaction",
})  # fmt: skip
# The embedded broker's answer is wrong after a batch of several records; a fetch's high watermark is right everywhere.
ENDS_ASKED_FOR = frozenset({"end_offsets", "seek_to_end"})

Violations = list[str]
Rule = Callable[[Path], Violations]


def no_service_imports_another(root: Path) -> Violations:
    """`services.a` may import `services.a.*` only; `deploy` puts services together and is free to."""
    found: Violations = []
    for file, line, module in _imports(root, "services"):
        own = file.split("/")[1]
        if module.split(".")[0] == "services" and module.split(".")[1:2] != [own]:
            found.append(f"{file}:{line} imports {module}, which is not its own service")
    return found


def contracts_import_only_pydantic_and_the_standard_library(root: Path) -> Violations:
    """So that anybody can take the contracts without the platform."""
    return [
        f"{file}:{line} imports {module}"
        for file, line, module in _imports(root, "shared/contracts")
        if not _is_within(module, "shared.contracts")
        and module.split(".")[0] not in sys.stdlib_module_names | {"pydantic", "pydantic_core"}
    ]


def shared_imports_no_service_and_no_deployment(root: Path) -> Violations:
    """What several services use knows none of them."""
    return [
        f"{file}:{line} imports {module}"
        for file, line, module in _imports(root, "shared")
        if module.split(".")[0] in {"services", "deploy", "tests", "examples"}
    ]


def one_folder_imports_kafka(root: Path) -> Violations:
    """The client's traps are dealt with in one place. Tests use the client as a stranger to the platform does."""
    return [
        f"{file}:{line} imports {module}; only the modules of {KAFKA}/ may"
        for folder in SOURCE_FOLDERS
        for file, line, module in _imports(root, folder)
        if module.split(".")[0] == "kafka" and Path(file).parent != Path(KAFKA)
    ]


def nothing_imports_what_runs_code_on_loading(root: Path) -> Violations:
    """Models are data: no pickle, no joblib, nowhere."""
    return [
        f"{file}:{line} imports {module}"
        for folder in (*SOURCE_FOLDERS, "tests")
        for file, line, module in _imports(root, folder)
        if module.split(".")[0] in LOADS_CODE
    ]


def only_the_step_catches_everything(root: Path) -> Violations:
    """A broad except hides failures; the step dead-letters what a handler raised."""
    found: Violations = []
    for folder in SOURCE_FOLDERS:
        for path, tree in _trees(root, folder):
            file = path.relative_to(root).as_posix()
            found += [
                f"{file}:{node.lineno} catches everything; only {STEP} may"
                for node in ast.walk(tree)
                if isinstance(node, ast.ExceptHandler) and _is_broad(node) and file != STEP
            ]
    return found


def nothing_uses_transactions(root: Path) -> Violations:
    """Not even the tests: kafka-python's cannot be trusted, and state beside Kafka would not be covered."""
    return [
        f"{file}:{line} names {name}: Kafka transactions are not used, see docs/reliability.md"
        for folder in (*SOURCE_FOLDERS, "tests")
        for file, line, name in _names(root, folder)
        if name in TRANSACTIONS and file != THIS
    ]


def ends_come_from_fetches(root: Path) -> Violations:
    """Lag, and whether a log was read to its end, are told by the high watermark that a fetch showed."""
    return [
        f"{file}:{line} names {name}: the embedded broker answers it wrongly; use Reader.end and end_reached_since"
        for folder in SOURCE_FOLDERS
        for file, line, name in _names(root, folder)
        if name in ENDS_ASKED_FOR
    ]


def services_is_no_package(root: Path) -> Violations:
    """An image holds one service's folder; a package around all of them would tie them together."""
    return ["services/__init__.py exists"] if (root / "services" / "__init__.py").exists() else []


RULES: tuple[Rule, ...] = (
    no_service_imports_another,
    contracts_import_only_pydantic_and_the_standard_library,
    shared_imports_no_service_and_no_deployment,
    one_folder_imports_kafka,
    nothing_imports_what_runs_code_on_loading,
    only_the_step_catches_everything,
    nothing_uses_transactions,
    ends_come_from_fetches,
    services_is_no_package,
)


def _imports(root: Path, folder: str) -> Iterator[tuple[str, int, str]]:
    """(file, line, absolute module) of each import, wherever in the file it stands; `from a import b` gives a.b."""
    for path, tree in _trees(root, folder):
        relative = path.relative_to(root)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield relative.as_posix(), node.lineno, name.name
            elif isinstance(node, ast.ImportFrom):
                package = ".".join(relative.parent.parts[: len(relative.parent.parts) + 1 - node.level])
                base = ".".join(filter(None, (package if node.level else "", node.module)))
                for name in node.names:
                    yield relative.as_posix(), node.lineno, f"{base}.{name.name}"
            elif isinstance(node, ast.Call) and (module := _imported_by_call(node)):
                yield relative.as_posix(), node.lineno, module


def _imported_by_call(node: ast.Call) -> str | None:
    """The module of `__import__("x")` and `import_module("x")`."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    if name in {"__import__", "import_module"} and node.args and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value)
    return None


def _names(root: Path, folder: str) -> Iterator[tuple[str, int, str]]:
    """(file, line, name) of every attribute, keyword argument, name and whole string, as options may be passed by."""
    for path, tree in _trees(root, folder):
        file = path.relative_to(root).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                yield file, node.lineno, node.attr
            elif isinstance(node, ast.keyword) and node.arg:
                yield file, node.lineno, node.arg
            elif isinstance(node, ast.Name):
                yield file, node.lineno, node.id
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield file, node.lineno, node.value


def _trees(root: Path, folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((root / folder).rglob("*.py")):
        yield path, ast.parse(path.read_bytes(), filename=str(path))


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _is_broad(handler: ast.ExceptHandler) -> bool:
    """Bare, `Exception` or `BaseException`, alone or in a tuple. To clean up and raise again is for `finally`."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        one is None or (isinstance(one, ast.Name) and one.id in {"Exception", "BaseException"}) for one in caught
    )
