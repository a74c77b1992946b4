"""The counts of the whole platform as one document. Nothing in it is worked out from another figure of it."""

from __future__ import annotations

from typing import Any

from services.console.control_story import ModelStory
from services.console.read_model import ReadModel
from services.console.record_counts import RawCounts
from shared.contracts.definitions import Model
from shared.contracts.platform import Platform
from shared.contracts.topics import dead_letters
from shared.contracts.topology import Definitions


def counts(model: ReadModel, raw: RawCounts) -> dict[str, Any]:
    """`{log_id, control, sources: {name: ...}, models: {name: ...}, dead: {service: n}}`."""
    with model.lock:
        platform = model.history.newest
        stories = model.story.models()
        return {
            "log_id": platform.log_id,
            "control": platform.position,
            "sources": source_counts(model, raw, platform.definitions),
            "models": {
                name: model_counts(model, definition, stories[name], tenths=True)
                for name, definition in platform.definitions.models.items()
                if name in stories
            },
            "dead": _dead(raw, platform),
        }


def source_counts(model: ReadModel, raw: RawCounts, definitions: Definitions) -> dict[str, dict[str, Any]]:
    """Of each source: records in its topic, accepted, late among those, rejected, and rejected by reason."""
    found: dict[str, dict[str, Any]] = {}
    for name, source in definitions.sources.items():
        seen = model.records.of(name)
        found[name] = {
            "published": raw.counted.get(source.topic_name, 0),
            "accepted": seen.accepted.total(),
            "late": seen.late,
            "rejected": seen.rejected.total(),
            "rejected_by_reason": dict(sorted(seen.rejected.items())),
        }
    return found


def model_counts(model: ReadModel, definition: Model, story: ModelStory, *, tenths: bool) -> dict[str, Any]:
    """Of one model: its streamed records, their predictions and outcomes, quality, and what was decided.

    `accepted`: records accepted since the model was defined. `retrainings` and `promotions` are those after the first
    version; `rollbacks`: candidates and champions that lost traffic they had. `quality` is by the labels that each
    outcome was decided by, `quality_revised` by those of now, after so many `revised`. `inputs_moved`: alarms that only
    advise.
    """
    predictions, outcomes = model.predictions(definition.name), model.outcomes(definition.name)
    accepted = model.records.of(definition.scores).accepted_since(story.defined_at)
    found: dict[str, Any] = {
        "accepted": accepted,
        "before_first_model": predictions.before_first_model,
        "scored": predictions.scored,
        "joined": outcomes.joined,
        "unlabelled": outcomes.unlabelled,
        "unmatured": outcomes.open.total(),
        "requests": predictions.requests,
        "answered_requests": predictions.answered_requests,
        "joined_requests": outcomes.joined_http,
        "matured_before_first_model": outcomes.before_first_model,
        "revised": outcomes.revised,
        "labels_unused": dict(sorted(outcomes.unused.items())),
        "metric": definition.reported[0],
        "quality": outcomes.figures.mean,
        "quality_revised": outcomes.figures.revised_mean,
        "retrainings": story.retrainings,
        "failed_runs": sum(run.status == "failed" for run in story.runs.values()),
        "promotions": len(story.promotions),
        "rollbacks": len(story.rollbacks),
        "alarms": story.alarms,
        "inputs_moved": story.moved,
    }
    if tenths:
        found["quality_by_tenth"] = outcomes.figures.by_tenth()
    return found


def _dead(raw: RawCounts, platform: Platform) -> dict[str, int]:
    services = sorted({task.service for task in platform.definitions.tasks})
    return {service: raw.counted.get(dead_letters(service), 0) for service in services}
