"""What a model has recorded, as a stream for the loop of decisions: records in the order of their times."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.backtest.request import Request
from deploy.simulation.decision_loop import Recorded
from services.monitoring.backtest.request import NothingToReplay
from shared.contracts.definitions import Model
from shared.contracts.topology import Definitions
from shared.inputs.vector import InputPlan
from shared.runtime.outcome_segments import Row


def stream_of(model: Model, definitions: Definitions, rows: Sequence[Row], request: Request) -> list[Recorded]:
    """The outcomes that are asked for. Raises NothingToReplay where they are none, or hold too little."""
    if not rows:
        raise NothingToReplay(
            f"{model.name} has no decided outcome: labels mature {model.label.matures_after / 1000:g} s after their "
            "record; see with `headrace status` whether records and labels come"
        )
    asked = [row for row in rows if request.first <= row["ordinal"] and _is_before(row, request.last)]
    if not asked:
        raise NothingToReplay(
            f"none of the {len(rows):,} recorded outcomes of {model.name} is asked for: choose others with --from "
            "and --to"
        )
    _check_inputs(model, definitions, asked)
    _check_labels(model, asked)
    return sorted(map(_recorded, asked), key=lambda record: (record.scored_ms, record.record_id))


def _is_before(row: Row, last: int | None) -> bool:
    return last is None or row["ordinal"] < last


def _check_inputs(model: Model, definitions: Definitions, rows: Sequence[Row]) -> None:
    names = [name for name, _ in InputPlan.of(model, definitions).names_and_kinds]
    lacking = [row for row in rows if any(name not in row["inputs"] for name in names)]
    if lacking:
        newest = lacking[-1]
        missing = ", ".join(name for name in names if name not in newest["inputs"])
        raise NothingToReplay(
            f"{len(lacking):,} of {len(rows):,} outcomes of {model.name} were recorded without inputs that its "
            f"definition names by now ({missing}), so no version can answer them: begin behind the newest of these "
            f"with --from {newest['ordinal'] + 1}"
        )


def _check_labels(model: Model, rows: Sequence[Row]) -> None:
    labelled, needed = sum(row["label"] is not None for row in rows), model.training.minimum_rows
    if labelled < needed:
        raise NothingToReplay(
            f"a first version of {model.name} is fitted on {needed:,} outcomes with a label (training.minimum_rows), "
            f"and of the {len(rows):,} that are asked for {labelled:,} have one: wait for more, or ask for more with "
            "--from and --to"
        )


def _recorded(row: Row) -> Recorded:
    return Recorded(
        record_id=row["record_id"], scored_ms=row["scored_ms"], due_ms=row["due_ms"], inputs=row["inputs"],
        label=row["label"], entity=row["entity"],
    )  # fmt: skip
