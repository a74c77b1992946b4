"""Labels that come after a rollout has ended, through the whole platform: a verdict turns, and what it led to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import pytest

from deploy.simulation.platform import SimulatedPlatform
from shared.contracts import control as c
from shared.contracts.flow import OutcomeMatured, OutcomeRevised
from shared.contracts.losses import Invalid, bounded_loss, loss_spec
from shared.contracts.topics import OUTCOMES
from shared.contracts.why import Link, why
from tests.scenarios.invariants import check
from tests.scenarios.simulated import SHORT, lockstep
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MODEL, TRUTHS, definitions

BETS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
ALPHA = 0.2
MINUTE_MS = 60_000
LABEL = {"source": TRUTHS, "field": "bad", "joins": "payment", "matures_after": "2m", "expires_after": "2d"}
ROLLOUT = {"steps": [20, 100], "alpha": ALPHA, "deadline": "1h", "watch": "5m", "split": "record"}


class Pair(NamedTuple):
    time_ms: int
    record_id: str
    label: float
    champion: float
    candidate: float


def history_of(platform: SimulatedPlatform) -> TopicHistory:
    return TopicHistory.of_memory(platform.world.broker)


def decided(platform: SimulatedPlatform, *kinds: type[c.Event]) -> list[c.Event]:
    return [message.event for message in platform.decided() if isinstance(message.event, kinds)]


def last_promotion(platform: SimulatedPlatform) -> c.VersionPromoted:
    *_, promoted = (e for e in decided(platform, c.VersionPromoted) if isinstance(e, c.VersionPromoted))
    assert promoted.by == "rollout"
    return promoted


def verdict_of(platform: SimulatedPlatform, verdict_id: str | None) -> c.VerdictReached:
    [found] = (
        e for e in decided(platform, c.VerdictReached) if isinstance(e, c.VerdictReached) and e.verdict_id == verdict_id
    )
    return found


def pairs_of(platform: SimulatedPlatform, verdict: c.VerdictReached, labels: Mapping[str, float | None]) -> list[Pair]:
    """The outcomes that the verdict is about, from their topic, in the order of decision; `labels`: corrected ones."""
    spec = loss_spec(platform.newest.definitions.models[MODEL], ())
    assert spec is not None
    found: list[Pair] = []
    for read, event in history_of(platform).events(OUTCOMES.of(MODEL).name, OutcomeMatured):
        made, record_id = event.prediction, event.prediction.record_id or ""
        place = (read.message.time_ms, record_id)
        if made.rollout_id != verdict.rollout_id or place > (verdict.last_time_ms, verdict.last_record_id):
            continue
        label = labels.get(record_id, event.label)
        if label is None or not {verdict.champion, verdict.candidate} <= made.outputs.keys():
            continue
        losses = [bounded_loss(spec, made.outputs[v].output, label) for v in (verdict.champion, verdict.candidate)]
        assert not any(isinstance(loss, Invalid) for loss in losses)
        found.append(Pair(*place, float(label), float(losses[0]), float(losses[1])))
    return sorted(found)


def e_values(pairs: list[Pair], sign: int) -> list[float]:
    """After each pair: mean over the bets of prod(1 + sign bet d)."""
    wealth, found = [1.0] * len(BETS), list[float]()
    for pair in pairs:
        difference = pair.candidate - pair.champion
        wealth = [w * (1.0 + sign * bet * difference) for w, bet in zip(wealth, BETS, strict=True)]
        found.append(sum(wealth) / len(wealth))
    return found


def played(revise: str) -> tuple[SimulatedPlatform, c.VersionPromoted, dict[str, float]]:
    """A version is promoted; when its watch is over, all its rollout's labels turn out the other way round."""
    platform = lockstep(2, 1, declared=definitions(rollout={**ROLLOUT, "revise": revise}, label=LABEL))
    promoted = last_promotion(platform)
    assert platform.newest.model(MODEL).former is None
    now_ms = platform.newest.now_ms(MODEL)
    turned: dict[str, float] = {}
    for pair in pairs_of(platform, verdict_of(platform, promoted.verdict_id), {}):
        turned[pair.record_id] = 1.0 - pair.label
        known_ms = now_ms + len(turned)
        truth = {
            "truth": f"{pair.record_id}z",
            "payment": pair.record_id,
            "known_at": known_ms,
            "bad": pair.label < 1.0,
        }
        platform.publish(TRUTHS, truth, 0)
    for minutes in (2, 4, 6):
        platform.tick(now_ms + minutes * MINUTE_MS)
        platform.world.settle(20_000)
    return platform, promoted, turned


@cache
def rolled_back() -> tuple[SimulatedPlatform, c.VersionPromoted, dict[str, float]]:
    return played("roll_back")


def test_late_labels_take_a_promotion_back_by_definition() -> None:
    platform, promoted, turned = rolled_back()
    revised = [e for e in decided(platform, c.VerdictRevised) if isinstance(e, c.VerdictRevised)]
    assert revised[0].before == c.VerdictKind.BETTER
    assert {e.verdict_id for e in revised} == {promoted.verdict_id}
    assert revised[0].last_record_id in turned
    [back] = (e for e in decided(platform, c.ModelRolledBack) if isinstance(e, c.ModelRolledBack))
    assert (back.version, back.former, back.by) == (promoted.former, promoted.version, "revision")
    assert back.revision_id == revised[0].revision_id
    assert platform.newest.model(MODEL).champion == promoted.former
    assert [str(v) for v in check(history_of(platform), platform.world.artifacts, platform.world.files)] == []


def test_the_verdict_and_its_revision_can_be_recomputed_from_the_topics() -> None:
    platform, promoted, _ = rolled_back()
    verdict = verdict_of(platform, promoted.verdict_id)
    pairs = pairs_of(platform, verdict, {})
    assert len(pairs) == verdict.outcomes
    assert verdict.e_value == pytest.approx(max(e_values(pairs, -1)))
    assert verdict.e_value_harm == pytest.approx(max(1.0, *e_values(pairs, 1)))
    assert verdict.e_value >= 1.0 / ALPHA > max(e_values(pairs, -1)[:-1])
    assert verdict.champion_loss == pytest.approx(math.fsum(pair.champion for pair in pairs) / len(pairs))
    assert verdict.candidate_loss == pytest.approx(math.fsum(pair.candidate for pair in pairs) / len(pairs))
    labels: dict[str, float | None] = {}
    revisions = history_of(platform).events(OUTCOMES.of(MODEL).name, OutcomeRevised)
    corrections = [(read.message.time_ms, event) for read, event in revisions]
    said = {e.label_id: e for e in decided(platform, c.VerdictRevised) if isinstance(e, c.VerdictRevised)}
    for _, event in sorted(corrections, key=lambda one: (one[0], one[1].record_id)):
        labels[event.record_id] = None if event.label is None else float(event.label)
        if event.label_id in said:
            again, revised = pairs_of(platform, verdict, labels), said.pop(event.label_id)
            assert revised.e_value == pytest.approx(e_values(again, -1)[-1])
            assert revised.e_value_harm == pytest.approx(e_values(again, 1)[-1])
            mean = math.fsum(pair.candidate - pair.champion for pair in again) / len(again)
            assert revised.mean_difference == pytest.approx(mean)
    assert said == {}


def test_why_tells_of_the_revision() -> None:
    platform, promoted, _ = rolled_back()
    entries = ((at, entry.message) for at, entry in enumerate(platform.history.entries, 1) if entry.message)
    said = [r.text for r in why(entries, MODEL, promoted.version) if r.link is Link.VERDICT]
    assert any(text.startswith("revised from better to ") for text in said)


def test_by_default_it_is_told_and_the_version_stays() -> None:
    platform, promoted, _ = played("report")
    assert decided(platform, c.VerdictRevised)
    assert decided(platform, c.ModelRolledBack) == []
    assert platform.newest.model(MODEL).champion == promoted.version


def test_the_labels_that_revise_on_the_way_turn_no_verdict_of_the_workload() -> None:
    """It holds labels that are late, or say another word; none of its rollouts hangs on them."""
    platform = lockstep(2, 1, declared=definitions(rollout={**ROLLOUT, "revise": "roll_back"}), count=SHORT)
    assert [e for _, e in history_of(platform).events(OUTCOMES.of(MODEL).name, OutcomeRevised)]
    assert decided(platform, c.VerdictRevised) == []
