"""Labels that come after a rollout has ended: what they make of its verdict, event in, event out."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from services.monitoring import canary_judge, revised_pairs
from services.monitoring.canary_judge import JudgeState
from services.monitoring.judge_state import JudgeState as State
from services.monitoring.revised_pairs import Corrections
from shared.contracts import control as c
from shared.contracts.envelope import Message
from shared.runtime.history import ControlHistory
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

T = b.T0_MS
ALPHA = 0.05
PAIRS = 120
LATER = T + 10_000
ROLLOUT: dict[str, Any] = {"rollout_id": "o2", "candidate": 2, "step": 0}


def control(**monitor: Any) -> ControlHistory:
    settings = {"metric": "zero_one", "report": ["accuracy"], "report_every": 1_000, **monitor}
    rollout = {"steps": [100], "alpha": ALPHA, "revise": "roll_back"}
    model = b.model(monitor=settings, rollout=rollout)
    return history(
        b.applied(b.source(), b.label_source(), b.view(), model),
        b.registered(1), b.approved(1), b.promoted(1), b.registered(2), b.rollout_started(), b.rollout_advanced(),
    )  # fmt: skip


def outputs(n: int) -> dict[int, float]:
    """On every fourth record the versions disagree."""
    return {1: 0.9, 2: 0.1 if n % 4 == 0 else 0.9}


def pair(n: int, label: float | None, **over: Any) -> At:
    said = {version: {"artifact_sha256": b.SHA256, "output": [value]} for version, value in outputs(n).items()}
    made = b.prediction(record_id=f"t{n:04}", outputs=said, **{**ROLLOUT, **over})
    return At(T + n, b.matured(label=label, prediction=made), f"t{n:04}")


def relabelled(n: int, before: float | str | None, label: float | str | None, at_ms: int = LATER, **over: Any) -> At:
    said = {version: [value] for version, value in outputs(n).items()}
    answers = b.answers(**{"due_ms": T + n, "rollout_id": "o2", "candidate": 2, "outputs": said, **over})
    event = b.revised(record_id=f"t{n:04}", before=before, label=label, label_id=f"l{n}", answers=answers)
    return At(at_ms, event, f"t{n:04}")


def of(kind: Any, messages: list[Message]) -> list[Any]:
    return [message.event for message in messages if isinstance(message.event, kind)]


def right(n: int) -> float:
    """The label by which the candidate is right wherever it disagrees."""
    return 0.0 if n % 4 == 0 else 1.0


def promoted() -> tuple[Stepping, c.VerdictReached]:
    """Version 2 was better wherever it disagreed, is promoted, and the judge has seen that."""
    stepping = Stepping("judge", control())
    derived = stepping.feed(*(pair(n, right(n)) for n in range(PAIRS)), T + PAIRS)
    verdict = of(c.VerdictReached, derived)[0]
    assert (verdict.kind, verdict.step) == (c.VerdictKind.BETTER, 1)
    decide(stepping.control, b.promoted(2, 1, rollout_id="o2", verdict_id=verdict.verdict_id))
    decide(stepping.control, b.rollout_ended())
    stepping.feed(pair(PAIRS, right(PAIRS)), T + PAIRS + 1)
    return stepping, verdict


def disagreed_by(verdict: c.VerdictReached) -> list[int]:
    """Records on which the versions disagreed, up to the verdict."""
    return [n for n in range(verdict.position) if n % 4 == 0]


def test_labels_that_turn_most_of_the_pairs_round_take_a_promotion_back_once() -> None:
    stepping, verdict = promoted()
    turned = disagreed_by(verdict)
    derived = stepping.feed(*(relabelled(n, 0.0, 1.0, LATER + n) for n in turned), LATER + PAIRS + 1)
    undecided, worse = of(c.VerdictRevised, derived)
    half = len(turned) // 2 + len(turned) % 2
    assert (undecided.before, undecided.after, undecided.revisions) == ("better", "undecided", half)
    assert undecided.mean_difference >= 0.0
    assert (worse.before, worse.after) == ("undecided", "worse")
    assert worse.e_value_harm >= worse.threshold == pytest.approx(1.0 / ALPHA)
    for event in (undecided, worse):
        assert (event.verdict_id, event.rollout_id, event.champion, event.candidate) == (verdict.verdict_id, "o2", 1, 2)
        assert (event.position, event.outcomes, event.decided) == (verdict.position, verdict.outcomes, PAIRS + 1)
    assert undecided.records == tuple(f"t{n:04}" for n in turned[:half])
    assert undecided.last_record_id == f"t{turned[half - 1]:04}"
    assert undecided.label_id == f"l{turned[half - 1]}"
    assert undecided.revision_id != worse.revision_id


def test_the_figures_are_those_of_the_outcomes_judged_again_by_the_new_labels() -> None:
    stepping, verdict = promoted()
    turned = set(disagreed_by(verdict)[:5])
    derived = stepping.feed(*(relabelled(n, 0.0, 1.0) for n in turned), LATER + 1)
    state = JudgeState()
    for n in range(verdict.position):
        label = 1.0 if n in turned else right(n)
        losses = [float((value >= 0.5) != bool(label)) for value in outputs(n).values()]
        state = canary_judge.update(state, losses[0], losses[1])
    expected = canary_judge.verdict(state, ALPHA, 1)
    final = stepping.task.state("model").ended[-1]
    found = canary_judge.verdict(revised_pairs.applied(final.pairs, final.corrections), ALPHA, 1)
    assert found.count == expected.count == verdict.outcomes
    assert (found.mean_difference, found.e_value, found.e_value_harm) == (
        pytest.approx(expected.mean_difference), pytest.approx(expected.e_value), pytest.approx(expected.e_value_harm),
    )  # fmt: skip
    assert (found.lower, found.upper) == (pytest.approx(expected.lower), pytest.approx(expected.upper))
    assert expected.mean_difference is not None
    assert [event.after for event in of(c.VerdictRevised, derived)] == (
        [] if expected.mean_difference < 0 else ["undecided"]
    )


def test_a_few_corrections_that_leave_the_candidate_better_turn_nothing() -> None:
    stepping, verdict = promoted()
    some = disagreed_by(verdict)[:3]
    assert of(c.VerdictRevised, stepping.feed(*(relabelled(n, 0.0, 1.0) for n in some), LATER + 1)) == []
    final = stepping.task.state("model").ended[-1]
    assert final.corrections.revisions == 3
    assert canary_judge.verdict(revised_pairs.applied(final.pairs, final.corrections), ALPHA, 1).e_value < 1.0 / ALPHA


def test_a_verdict_that_is_taken_back_stands_again_only_on_full_evidence() -> None:
    stepping, verdict = promoted()
    turned = disagreed_by(verdict)
    half = len(turned) // 2 + 1
    stepping.feed(*(relabelled(n, 0.0, 1.0) for n in turned[:half]), LATER + 1)
    back = [relabelled(n, 1.0, 0.0, LATER + 10 + n) for n in turned[:half]]
    derived = stepping.feed(*back, LATER + PAIRS + 20)
    assert [(e.before, e.after) for e in of(c.VerdictRevised, derived)] == [("undecided", "better")]
    [event] = of(c.VerdictRevised, derived)
    assert event.e_value >= 1.0 / ALPHA


@pytest.mark.parametrize(
    "revision",
    [
        relabelled(PAIRS, 0.0, 1.0),  # decided behind the verdict
        relabelled(0, 0.0, 1.0, rollout_id="o1"),
        relabelled(0, 0.0, 1.0, rollout_id=None),
        relabelled(1, 1.0, 1.0),  # says what was said
        At(LATER, b.revised(record_id="t0000", before=0.0, label=1.0), "t0000"),  # of before answers were told
        At(LATER, b.revised(record_id="nobody", before=None, label=1.0), "nobody"),
    ],
)
def test_what_is_no_pair_of_the_verdict_corrects_nothing(revision: At) -> None:
    stepping, _ = promoted()
    assert stepping.feed(*([revision] * 40), LATER + 1) == []
    [final] = stepping.task.state("model").ended
    assert final.corrections == Corrections()


def test_a_revision_that_is_read_twice_counts_once() -> None:
    stepping, verdict = promoted()
    records = stepping.records([relabelled(n, 0.0, 1.0) for n in disagreed_by(verdict)[:4]])
    stepping.take([*records, *records])
    stepping.take([*records, *stepping.records([LATER + 1])])
    assert stepping.task.state("model").ended[-1].corrections.revisions == 4


def test_labels_outside_the_classes_take_their_pairs_out_and_turn_nothing() -> None:
    stepping, verdict = promoted()
    unknown = [relabelled(n, right(n), "perhaps") for n in range(verdict.position)]
    assert of(c.VerdictRevised, stepping.feed(*unknown, LATER + 1)) == []
    final = stepping.task.state("model").ended[-1]
    figures = canary_judge.verdict(revised_pairs.applied(final.pairs, final.corrections), ALPHA, 1)
    assert (figures.count, figures.both_invalid) == (0, verdict.outcomes)


def test_a_label_that_was_missing_makes_a_pair() -> None:
    stepping = Stepping("judge", control())
    entries = [pair(n, right(n) if n % 10 else None) for n in range(PAIRS)]
    verdict = of(c.VerdictReached, stepping.feed(*entries, T + PAIRS))[0]
    decide(stepping.control, b.rollout_ended())
    assert stepping.feed(relabelled(0, None, 0.0), LATER + 1) == []
    final = stepping.task.state("model").ended[-1]
    assert revised_pairs.applied(final.pairs, final.corrections).count == verdict.outcomes + 1


def test_a_rejected_candidate_that_was_better_after_all_is_said_to_be() -> None:
    stepping = Stepping("judge", control())
    derived = stepping.feed(*(pair(n, 1.0) for n in range(PAIRS)), T + PAIRS)
    verdict = of(c.VerdictReached, derived)[0]
    assert verdict.kind is c.VerdictKind.WORSE
    decide(stepping.control, b.rollout_ended(phase=c.Phase.REJECTED))
    turned = [n for n in range(verdict.position) if n % 4 == 0]
    derived = stepping.feed(*(relabelled(n, 1.0, 0.0, LATER + n) for n in turned), LATER + PAIRS + 1)
    assert [(e.before, e.after) for e in of(c.VerdictRevised, derived)] == [
        ("worse", "undecided"), ("undecided", "better"),
    ]  # fmt: skip


def test_corrections_during_the_rollout_hold_back_a_step_that_they_take_away() -> None:
    stepping = Stepping("judge", control())
    turned = [n for n in range(PAIRS) if n % 4 == 0]
    entries: list[At | int] = []
    for n in range(PAIRS):
        entries.append(pair(n, right(n)))
        if n % 4 == 0:
            entries.append(relabelled(n, 0.0, 1.0, T + n))
    derived = stepping.feed(*entries, T + PAIRS)
    assert of(c.VerdictReached, derived) == []
    judge = stepping.task.state("model").rollout
    assert judge.corrections.revisions == len(turned)
    assert judge.pairs.log_e_max > 3.0


def test_a_revision_at_the_time_of_its_outcome_finds_it_decided() -> None:
    stepping = Stepping("judge", control())
    revision, outcome = relabelled(0, 0.0, 1.0, T), pair(0, 0.0)
    stepping.feed(revision, outcome, T + 1)
    state = stepping.task.state("model")
    assert (state.position, state.rollout.corrections.revisions) == (1, 1)


def test_a_revision_of_losses_by_another_measure_is_none_of_the_verdict_s() -> None:
    stepping, verdict = promoted()
    model = b.model(monitor={"metric": "brier", "report": ["accuracy"]}, rollout={"steps": [100], "alpha": ALPHA})
    decide(stepping.control, b.applied(model, request_id="q2"))
    assert stepping.feed(*(relabelled(n, 0.0, 1.0) for n in disagreed_by(verdict)), LATER + 1) == []


def test_two_verdicts_are_kept_and_the_order_of_arrival_is_no_matter() -> None:
    def played(seed: int) -> list[Any]:
        stepping, verdict = promoted()
        revisions = [relabelled(n, 0.0, 1.0, LATER + n) for n in disagreed_by(verdict)]
        random.Random(seed).shuffle(revisions)
        return of(c.VerdictRevised, stepping.feed(*revisions, LATER + PAIRS))

    assert played(1) == played(2) != []


def test_the_state_survives_json_bit_for_bit_and_older_state_is_read() -> None:
    stepping, verdict = promoted()
    stepping.feed(*(relabelled(n, 0.0, 1.0) for n in disagreed_by(verdict)[:3]), LATER + 1)
    state = stepping.task.state("model")
    text = json.dumps(state.to_json())
    assert json.dumps(State.from_json(json.loads(text)).to_json()) == text
    older = json.loads(text)
    del older["ended"], older["revised"]
    assert State.from_json(older).ended == ()


@pytest.mark.parametrize(
    ("said", "total", "says"),
    [
        ("better", -0.5, "better"),
        ("better", 0.0, "undecided"),
        ("better", 1e-12, "undecided"),
        ("worse", 0.5, "worse"),
        ("worse", 0.0, "undecided"),
        ("undecided", -0.5, "undecided"),
        ("undecided", 0.5, "undecided"),
    ],
)
def test_without_evidence_a_verdict_stands_while_the_difference_is_on_its_side(
    said: str, total: float, says: str
) -> None:
    pairs = JudgeState(count=10, total=total)
    assert revised_pairs.says(pairs, 0.01, c.VerdictKind(said)) is c.VerdictKind(says)
