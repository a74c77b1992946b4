"""The real streams as a model sees them: inputs as of each record, and labels when they are known."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from deploy.local.replay_rows import read_rows
from deploy.simulation.decision_loop import Recorded
from shared.contracts.definitions import Model, Published
from shared.contracts.topology import NO_DEFINITIONS
from shared.inputs.vector import InputPlan
from shared.inputs.windows import WindowState, observe
from shared.runtime.definition_files import load
from tests.shared_data import SHARED_DATA

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = {"electricity": "electricity.csv", "bike": "bike-hour.csv"}
MODELS = {"electricity": "price_up_evidence", "bike": "bike_demand"}


def file_of(example: str) -> Path:
    return SHARED_DATA / FILES[example]


def published(example: str) -> tuple[Published, ...]:
    """The example's definitions."""
    return tuple(load(EXAMPLES / example / "definitions.yaml").published)


def model_of(example: str) -> Model:
    return next(one for one in published(example) if isinstance(one, Model) and one.name == MODELS[example])


@lru_cache(maxsize=2)
def stream(example: str) -> tuple[Recorded, ...]:
    """Every row of the example's file, in order."""
    loaded, model = load(EXAMPLES / example / "definitions.yaml"), model_of(example)
    [replay] = loaded.replays
    definitions = NO_DEFINITIONS.with_applied(loaded.published)
    rows = read_rows(replay, definitions, file_of(example))
    assert rows.labels is not None
    plan, records, windows = InputPlan.of(model, definitions), rows.records, dict[str, WindowState | None]()
    labels = rows.labels.columns[model.label.field]
    found: list[Recorded] = []
    for i, (time_ms, due_ms) in enumerate(zip(records.times_ms, rows.labels.times_ms, strict=True)):
        value = {name: column[i] for name, column in records.columns.items() if column[i] is not None}
        inputs = plan.inputs(value, time_ms, windows)
        for name, view in plan.views.items():
            windows[name] = observe(view, windows.get(name), time_ms, f"{i:06}", value)
        label = labels[i]
        found.append(Recorded(f"r{i:06}", time_ms, due_ms, inputs, None if label is None else label))
    return tuple(found)
