"""The JSON Schemas of every event and definition, kept in `golden/` as they were last published.

`python -m tests.unit.contracts.golden_schemas --write` renews them after a compatible change. An incompatible one is
refused: add an optional field or publish a new version. `--breaking` is for what was never released.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.contracts import control, flow
from shared.contracts.contract import Contract
from shared.contracts.definitions import FeatureView, Model, Replay, Source
from shared.contracts.envelope import event_types
from tests.unit.contracts.compatibility import incompatibilities

DECLARED_IN = (control, flow)  # an event is known once its module is imported
GOLDEN = Path(__file__).parent / "golden"
_PACKAGE = "shared.contracts."


def contracts() -> dict[str, type[Contract]]:
    """Every message and definition by the name of its golden file."""
    events = {name: event for name, event in event_types().items() if event.__module__.startswith(_PACKAGE)}
    definitions = {f"definition.{kind.__name__}": kind for kind in (Source, FeatureView, Model, Replay)}
    return {**events, **definitions}


def current(contract: type[Contract]) -> Mapping[str, Any]:
    """The schema of a contract as it is, without its prose."""
    return _without_prose(contract.model_json_schema())


def golden(name: str) -> Mapping[str, Any] | None:
    """The schema as it was last published; None if it never was."""
    path = GOLDEN / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def stale() -> list[str]:
    """Golden files that are missing, no longer meant, or not as the contracts are."""
    known = contracts()
    changed = [name for name, contract in known.items() if golden(name) != current(contract)]
    return sorted([*changed, *(path.stem for path in GOLDEN.glob("*.json") if path.stem not in known)])


def breaks() -> list[str]:
    """Every way in which the contracts can no longer read what was published."""
    known = contracts()
    found = [f"{path.stem}: removed" for path in GOLDEN.glob("*.json") if path.stem not in known]
    for name, contract in known.items():
        published = golden(name)
        if published is not None:
            found += [f"{name}: {what}" for what in incompatibilities(published, current(contract))]
    return found


def _without_prose(schema: Any, within_names: bool = False) -> Any:
    """`within_names`: the keys are names of fields, of which one may be called `title`."""
    match schema:
        case dict():
            return {
                key: _without_prose(value, not within_names and key in ("properties", "$defs", "patternProperties"))
                for key, value in schema.items()
                if within_names or key not in ("title", "description")
            }
        case list():
            return [_without_prose(item) for item in schema]
        case _:
            return schema


def main(arguments: list[str]) -> int:
    if not {"--write"} <= set(arguments) <= {"--write", "--breaking"}:
        print(__doc__)
        return 2
    broken = breaks()
    if broken and "--breaking" not in arguments:
        print("\n".join((*broken, "Nothing written: these cannot be read any more. See --help.")))
        return 1
    GOLDEN.mkdir(exist_ok=True)
    known = contracts()
    for path in GOLDEN.glob("*.json"):
        if path.stem not in known:
            path.unlink()
    for name, contract in known.items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(current(contract), indent=2, sort_keys=True) + "\n")
    print(f"{len(known)} schemas written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
