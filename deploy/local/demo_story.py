"""The story that the demo tells: which events of `control.v1` it is made of, and which of them are missing.

Nothing here is told by the demo itself: every chapter is an event that a service published, and each must name the one
before it: the promotion its rollout, the rollout its version, the version its run, the run its drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from deploy.local.demo_quality import AFTER, BETWEEN, Quality
from shared.contracts import control as c
from shared.contracts.envelope import Event, Message

PREDICTIONS_ASKED = 5_000

Kind = TypeVar("Kind", bound=Event)


@dataclass(frozen=True, slots=True)
class Chapter:
    """An event of one model, its place in `control.v1`, and how many transactions were out when it was read."""

    control: int
    time_ms: int
    transactions: int
    seconds: float
    event: Event


@dataclass(slots=True)
class Story:
    """Every event of one model but figures and progress, in the order of decision."""

    model: str
    chapters: list[Chapter] = field(default_factory=list[Chapter])

    def take(self, position: int, message: Message, transactions: int, seconds: float) -> Chapter | None:
        """The chapter that an event of `control.v1` is, if it is one."""
        event = message.event
        silent = (c.QualityMeasured, c.RunProgressed, c.ReplicaReady, c.SegmentWritten)
        if getattr(event, "model", None) != self.model or isinstance(event, silent):
            return None
        chapter = Chapter(position, message.time_ms, transactions, seconds, event)
        self.chapters.append(chapter)
        return chapter

    def all(self, kind: type[Kind]) -> list[Kind]:
        """The events of a kind."""
        return [chapter.event for chapter in self.chapters if isinstance(chapter.event, kind)]

    @property
    def first(self) -> c.VersionPromoted | None:
        """The first version that answered."""
        return next((e for e in self.all(c.VersionPromoted) if e.by == "first"), None)

    @property
    def promotions(self) -> list[c.VersionPromoted]:
        """Every later one."""
        return [event for event in self.all(c.VersionPromoted) if event.by != "first"]

    @property
    def drift(self) -> c.DriftDetected | None:
        return next(iter(self.all(c.DriftDetected)), None)

    def shown(self) -> list[dict[str, Any]]:
        """As `--json` gives it, without what is large."""
        return [
            {
                "event": chapter.event.ce_type,
                "control": chapter.control,
                "time_ms": chapter.time_ms,
                "transactions": chapter.transactions,
                "seconds": round(chapter.seconds, 3),
                "data": chapter.event.model_dump(mode="json", exclude={"reference", "expected_loss"}),
            }
            for chapter in self.chapters
        ]


def missing(story: Story, quality: Quality) -> list[str]:
    """What a healed model's story lacks, in words; empty when it is whole."""
    lacks: list[str] = []
    if story.first is None:
        lacks.append("no first model went live")
    if story.drift is None:
        lacks.append("no drift was detected")
    promotion = next((event for event in story.promotions if event.by == "rollout"), None)
    if promotion is None:
        return [*lacks, *_unfinished(story), "no retrained version was promoted"]
    return lacks + _unlinked(story, promotion) + _no_better(quality)


def missing_of_calm(story: Story) -> list[str]:
    """What the story without a drift lacks: there is nothing to heal, and nothing may be promoted."""
    lacks = [] if story.first else ["no first model went live"]
    return lacks + [f"version {event.version} was promoted, and nothing had changed" for event in story.promotions]


def missing_of_bad_candidate(story: Story) -> list[str]:
    """What the story of the worse candidate lacks: that it was made, and that it was stopped before it was live."""
    lacks = [] if story.first else ["no first model went live"]
    later = [event for event in story.all(c.VersionRegistered) if story.first and event.version != story.first.version]
    if not later:
        return [*lacks, "no candidate was fitted to the wrong labels"]
    lacks += [f"version {event.version} went live" for event in story.promotions]
    if stopped_by(story) is None:
        lacks.append("the worse candidate was not stopped")
    return lacks


def stopped_by(story: Story) -> str | None:
    """What stopped the candidate: the gate, or the judge of its rollout, with the reason."""
    first = story.first
    for chapter in story.chapters:
        event = chapter.event
        if isinstance(event, c.RolloutEnded) and event.phase in (c.Phase.REJECTED, c.Phase.ROLLED_BACK):
            return f"{event.phase}: {event.reason}"
        later = isinstance(event, c.VersionRegistered) and first is not None and event.version != first.version
        if isinstance(event, c.VersionRegistered) and later and not event.gate_passed:
            return f"gate: {event.reason}"
    return None


def _unfinished(story: Story) -> list[str]:
    lacks: list[str] = []
    if not any(event.reason is c.RunReason.DRIFT for event in story.all(c.RunRequested)):
        lacks.append("no retraining was asked for on the drift")
    advanced = {event.phase for event in story.all(c.RolloutAdvanced)}
    if c.Phase.SHADOW not in advanced:
        lacks.append("no candidate came into shadow")
    if c.Phase.STEP not in advanced:
        lacks.append("no candidate was given live traffic")
    return lacks


def _unlinked(story: Story, promotion: c.VersionPromoted) -> list[str]:
    """From the promotion back to the drift: each event must name the one before it."""
    moves = [e for e in story.all(c.RolloutAdvanced) if e.rollout_id == promotion.rollout_id]
    lacks: list[str] = []
    if not any(event.phase is c.Phase.SHADOW for event in moves):
        lacks.append(f"version {promotion.version} was promoted without shadow")
    if not any(event.phase is c.Phase.STEP and 0.0 < event.share < 1.0 for event in moves):
        lacks.append(f"version {promotion.version} was promoted without a canary step")
    version = next((e for e in story.all(c.VersionRegistered) if e.version == promotion.version), None)
    run_id = version.run_id if version and version.gate_passed else None
    asked = next((e for e in story.all(c.RunRequested) if e.run_id == run_id), None)
    finished = next((e for e in story.all(c.RunFinished) if e.run_id == run_id), None)
    alarms = {event.drift_id for event in story.all(c.DriftDetected)}
    if asked is None or finished is None or asked.drift_id not in alarms:
        lacks.append(f"version {promotion.version} does not come from a run on a drift")
    if promotion.verdict_id not in {event.verdict_id for event in story.all(c.VerdictReached)}:
        lacks.append(f"version {promotion.version} was promoted without a verdict")
    return lacks


def _no_better(quality: Quality) -> list[str]:
    between, after = quality.by_phase[BETWEEN].log_loss, quality.by_phase[AFTER].log_loss
    if between is None or after is None or after >= between:
        return [f"log loss after the promotion ({after}) is not below that from the drift to it ({between})"]
    return []
