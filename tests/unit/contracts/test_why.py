from __future__ import annotations

from shared.contracts import control as c
from shared.contracts.why import Link, why
from tests import builders as b

ARCHIVED = c.SegmentWritten(
    kind="outcomes", subject=b.MODEL, partition=0, number=0, first=0, rows=1_000, segment=b.reference(uri="outcomes/0"),
    from_ms=0, to_ms=1,
)  # fmt: skip
LATER = ARCHIVED.model_copy(update={"number": 3, "first": 3_000, "segment": b.reference(uri="outcomes/3")})
LOG = (
    b.founded(),
    b.applied(),
    ARCHIVED,
    LATER,
    b.registered(1),
    b.approved(1),
    b.promoted(1),
    b.drift(),
    b.run_requested(run_id="r2", reason="drift", drift_id="d1", champion=1),
    b.run_finished(run_id="r2", fitted_from=500, fitted_to=2_900),
    b.registered(2, run_id="r2"),
    b.approved(2),
    b.rollout_started(),
    b.rollout_advanced(),
    b.verdict(),
    b.verdict(rollout_id="another"),
    b.promoted(2, 1),
    b.rollout_ended(),
)
ACCEPTED = [(at, b.message(event, time_ms=b.T0_MS + at)) for at, event in enumerate(LOG, 1)]


def test_the_chain_leads_from_the_promotion_to_the_data() -> None:
    reasons = why(ACCEPTED, b.MODEL, 2)
    assert [(reason.link, reason.position) for reason in reasons] == [
        (Link.LIVE, 17),
        (Link.APPROVAL, 12),
        (Link.ROLLOUT, 18),
        (Link.ROLLOUT, 14),
        (Link.ROLLOUT, 13),
        (Link.VERDICT, 15),
        (Link.VERSION, 11),
        (Link.RUN, 10),
        (Link.RUN, 9),
        (Link.DRIFT, 8),
        (Link.DATA, 10),
    ]
    assert all(reason.event_id == ACCEPTED[reason.position - 1][1].id for reason in reasons)


def test_the_data_are_the_segments_that_hold_the_outcomes() -> None:
    data = why(ACCEPTED, b.MODEL, 2)[-1]
    assert "[500, 2900)" in data.text
    assert [reference.uri for reference in data.references] == ["outcomes/0"]


def test_an_average_is_told_member_by_member_and_from_where_it_was_judged() -> None:
    members = [
        {"family": "ridge", "window": "all", "parameters": {"alpha": 1.0}, "loss": 0.41234, "weight": 0.6},
        {"family": "ridge", "window": "since change", "parameters": {"alpha": 0.5}, "loss": 0.42},
    ]
    finished = b.run_finished(
        run_id="r2", family="average", parameters={"members": members}, window="all + since change",
        fitted_from=500, fitted_to=2_900, judged_from=2_400,
    )  # fmt: skip
    log = [finished if event is LOG[9] else event for event in LOG]
    reasons = why([(at, b.message(event, time_ms=b.T0_MS + at)) for at, event in enumerate(log, 1)], b.MODEL, 2)
    [run] = [reason.text for reason in reasons if reason.position == 10 and reason.link is Link.RUN]
    assert run.startswith(
        "run finished: average of 2: ridge {'alpha': 1.0} on window 'all' (loss 0.4123, weight 0.60); "
        "ridge {'alpha': 0.5} on window 'since change' (loss 0.42), seed 7"
    )
    assert "(window all + since change), those from 2400 judged it before it was fitted on them" in reasons[-1].text


def test_as_of_a_position_only_what_was_decided_by_then_counts() -> None:
    assert why(ACCEPTED[:10], b.MODEL, 2) == []
    assert why(ACCEPTED[:11], b.MODEL, 2)[0].link is Link.VERSION


def test_a_version_or_a_model_that_is_not_there_has_no_reasons() -> None:
    assert why(ACCEPTED, b.MODEL, 9) == []
    assert why(ACCEPTED, "nobody", 1) == []


def test_a_verdict_says_what_it_takes_to_recompute_it_and_what_became_of_it() -> None:
    figures = {
        "threshold": 100.0, "lower": -0.09, "upper": -0.01, "champion_loss": 0.2, "candidate_loss": 0.15,
        "first_position": 2_900, "last_position": 3_199, "invalid": 3,
    }  # fmt: skip
    log = [*LOG[:14], b.verdict(**figures), b.verdict_revised()]
    accepted = [(at, b.message(event, time_ms=b.T0_MS + at)) for at, event in enumerate(log, 1)]
    revised, reached = (reason.text for reason in why(accepted, b.MODEL, 2) if reason.link is Link.VERDICT)
    assert reached == (
        "better (step 0): mean loss difference -0.05 (in [-0.09, -0.01]) (0.15 - 0.2) over 200 outcomes, from 2900 to "
        "3199, 3 left out, e-value 150, of harm 0.01 of 100 needed"
    )
    assert revised == (
        "revised from better to undecided by 12 corrected outcomes, the newest t3100 by label l2: mean loss difference "
        "+0.01 (in [-0.05, +0.07]) over 200 outcomes up to 3200, e-value 0.4, of harm 1.2 of 100 needed"
    )


FIGURES = c.AlarmFigures(
    threshold=2e6, reference_upper=0.1, tolerance=0.0, null_mean=0.1, leading_bet=2.0, first=2_500, change=2_800,
    block=40, count=480, count_since_change=200, run_mean=0.2, since_change_mean=0.3, cap=0.4,
)  # fmt: skip


def test_an_alarm_says_what_it_takes_to_compute_it_again_and_which_inputs_had_moved_by_then() -> None:
    log = [
        b.founded(), b.applied(), b.registered(1), b.promoted(1), b.inputs_moved(), b.inputs_moved(version=7),
        b.drift(monitor="residual", figures=FIGURES),
        b.inputs_moved(), *LOG[8:11],
    ]  # fmt: skip
    reasons = why([(at, b.message(event)) for at, event in enumerate(log, 1)], b.MODEL, 2)
    [drift] = [reason.text for reason in reasons if reason.link is Link.DRIFT]
    assert drift.startswith("alarm on the residual of version 1 at outcome 3000")
    assert "evidence 6.1 of 2e+06 over 480 outcomes from 2500 on, 40 at a time, tested against 0.1" in drift
    [moved] = [reason for reason in reasons if reason.link is Link.INPUTS]
    assert moved.position == 5
    assert moved.text == (
        "inputs moved under version 1, scored records 1000 to 1899: amount higher, share 98%: 0.7 over 900, 0.5 before "
        "(quartiles 1 | 2 | 3 -> quartiles 4 | 5 | 6); evidence 1.2e+06 of 1e+06"
    )
