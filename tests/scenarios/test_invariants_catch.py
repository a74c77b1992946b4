"""Each check of the checker fails on a history damaged in its own way, and no other does."""

from __future__ import annotations

import pytest

from shared.contracts import control as c
from shared.contracts import flow as f
from shared.contracts.envelope import Encoded
from shared.contracts.topics import FEATURES, PREDICTIONS
from tests.scenarios import control_invariants as decisions
from tests.scenarios.archived_records import accepted_records
from tests.scenarios.damage import (
    Damaged,
    changed,
    files,
    found,
    good,
    numbers,
    played,
    promoting_verdict,
)
from tests.scenarios.every_damage import DAMAGE, damaged
from tests.scenarios.evidence import Evidence
from tests.scenarios.flow_invariants import _nothing_is_streamed
from tests.scenarios.invariants import INVARIANTS, check, listing
from tests.scenarios.prediction_invariants import nothing_newer_than_as_of
from tests.scenarios.topic_history import CONTROL_TP, TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS, VIEW


def test_the_good_history_has_all_that_is_damaged_and_no_violation() -> None:
    assert check(good(), played().world.artifacts, files()) == []
    rollouts = [event.phase for _, event in good().decided(c.RolloutEnded)]
    assert rollouts.count(c.Phase.PROMOTED) >= 1
    assert len(list(good().decided(c.RunRequested))) >= 2


@pytest.mark.parametrize("damage", DAMAGE)
def test_exactly_the_check_of_what_is_damaged_fails(damage: str) -> None:
    assert numbers(damaged(damage).violations()) == {DAMAGE[damage][0]}


def test_inputs_are_computed_again_from_the_archive_not_from_the_topic() -> None:
    """10: a row that was changed in the archive alone is told as such, and gives other inputs."""
    evidence = Evidence(damaged("another amount archived").history, played().world.artifacts)
    records = accepted_records(evidence, PAYMENTS)
    assert 0 < records.archived < len(records.rows)
    found = list(nothing_newer_than_as_of(evidence))
    assert any("is another one there" in text for text in found)
    assert any("are not what stood before it" in text for text in found)


def test_every_number_is_checked_and_has_a_history_on_which_it_fails_alone() -> None:
    assert list(INVARIANTS) == list(range(1, 21))
    assert {number for number, _ in DAMAGE.values()} == INVARIANTS.keys()
    assert all(one.checks for one in INVARIANTS.values())
    lines = listing()
    assert [line.split(":")[0] for line in lines] == [str(number) for number in INVARIANTS]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"outcomes": 0}, "over 0 outcomes"),
        ({"mean_difference": None}, "figures"),
        ({"outcomes": 1}, "cannot give"),
        ({"e_value": 1.5}, "below 1/"),
        ({"last_time_ms": 1}, "ms old"),
        ({"last_record_id": "another"}, "is none of rollout"),
        ({"invalid": 3}, "where the log has"),
        ({"candidate_sha256": "f" * 64}, "are current"),
        ({"step": 0}, "of step 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_promotion_wants_figures_that_are_enough_fresh_current_and_of_the_log(
    figures: dict[str, object], said: str
) -> None:
    """16."""
    [violation] = Damaged(changed(promoting_verdict(), **figures)).violations()
    assert violation.number == 16
    assert said in violation.text


def test_share_zero_is_checked_beside_the_split() -> None:
    """15 is a part of 14 while the control log is whole; it looks at nothing but what a prediction says itself."""

    def in_shadow(made: f.PredictionMade) -> bool:
        return made.candidate is not None and made.share == 0.0

    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, in_shadow)
    other = good().with_event(read, made.model_copy(update={"answered_by": made.candidate}))
    assert numbers(Damaged(other).violations()) == {14, 15}


def test_an_event_that_is_missing_at_the_end_is_caught() -> None:
    """7: nothing behind it shows the gap."""
    tp = good().partitions(FEATURES.of(VIEW).name)[0]
    assert 7 in numbers(Damaged(good().without_last(tp, good().accepted(tp)[-1]), replay=True).violations())


def test_a_mark_that_is_said_again_falls_behind_nothing() -> None:
    """7: a log in which everything stands twice, as after a lost acknowledgement, goes back nowhere."""
    tp = good().partitions(PREDICTIONS.of(MODEL).name)[0]
    again = good().with_more(tp, [Encoded(record.key, record.value, record.headers) for record in good().logs[tp]])
    assert numbers(Damaged(again).violations()) == set()


def test_the_control_log_can_be_cut_anywhere() -> None:
    """As of any position the decisions hold: nothing needs what comes later to be right."""
    records = good().logs[CONTROL_TP]
    for end in range(2, len(records), 7):
        evidence = Evidence(TopicHistory({CONTROL_TP: records[:end]}))
        for one in (decisions.one_champion, decisions.one_active_run, decisions.one_version_a_run):
            assert list(one(evidence)) == []


def test_a_model_that_answers_requests_only_is_not_scored_on_the_stream() -> None:
    of_requests = good().definitions.models[MODEL].model_copy(update={"mode": "request"})
    said = [line.partition(": ")[2] for line in _nothing_is_streamed(good(), of_requests)]
    assert any(line.startswith("inputs of ") for line in said)
    assert any(" was scored by " in line for line in said)
