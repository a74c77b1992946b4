"""Everything that `headrace status` shows, as one document."""

from __future__ import annotations

from typing import Any

from services.console.platform_views import model_view
from services.console.read_model import ReadModel
from services.console.record_counts import RawCounts
from services.console.report import model_counts, source_counts
from shared.contracts.envelope import rfc3339

Answers = dict[str, dict[str, Any]]


def status(model: ReadModel, raw: RawCounts, answers: Answers) -> dict[str, Any]:
    """`{log_id, control, ticks, services, sources, models}`; `answers`: what each service said of its progress."""
    with model.lock:
        platform, stories = model.history.newest, model.story.models()
        models: dict[str, Any] = {}
        for name, definition in platform.definitions.models.items():
            if name not in stories:
                continue
            story = stories[name]
            models[name] = {
                **model_view(platform, definition),
                "counts": model_counts(model, definition, story, tenths=False),
                "newest_quality": story.quality.model_dump(mode="json") if story.quality else None,
                "newest_moved": story.moved[-1] if story.moved else None,
                "newest_verdict": story.verdict.model_dump(mode="json") if story.verdict else None,
                "newest_revision": story.revised[-1] if story.revised else None,
                "newest_run": list(story.runs.values())[-1].shown() if story.runs else None,
            }
        return {
            "log_id": platform.log_id,
            "control": platform.position,
            "definitions_at": platform.definitions_at,
            "ticks": {clock: rfc3339(at) for clock, at in platform.ticks.items()},
            "services": services(answers),
            "sources": source_counts(model, raw, platform.definitions),
            "models": models,
        }


def services(answers: Answers) -> Answers:
    """Of each service: whether it answers, and its lag in entries behind what the others say they have sent to it."""
    ends: dict[str, int] = {}
    for answer in answers.values():
        for log, end in answer.get("sent", {}).items():
            ends[log] = max(ends.get(log, 0), end)
    return {name: _service(answer, ends) for name, answer in answers.items()}


def _service(answer: dict[str, Any], ends: dict[str, int]) -> dict[str, Any]:
    if "error" in answer:
        return {"state": "away", "error": answer["error"]}
    waiting, applied = answer.get("waiting", {}), answer.get("applied", {})
    return {
        "state": "waiting" if waiting else "ready",
        "waiting": waiting,
        "pending": answer.get("pending", 0),
        "doing": answer.get("doing", []),
        "lag": sum(max(0, ends.get(log, 0) - position) for log, position in applied.items()),
    }
