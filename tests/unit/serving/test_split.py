"""Who answers: a function of the rollout in force and the subject, and of nothing else."""

from __future__ import annotations

import pytest

from services.serving.split import split_of, subject_of
from shared.contracts.control import Phase
from shared.contracts.identity import split_hash
from shared.contracts.platform import ModelState, RolloutState
from tests import builders as b


def state(share: float, phase: Phase = Phase.STEP) -> ModelState:
    rollout = RolloutState("o2", 2, 1, phase, 1, share, b.T0_MS, 7)
    return ModelState(champion=1, rollout=rollout)


def test_before_the_first_version_nobody_answers() -> None:
    assert split_of(ModelState(), "c1").answered_by is None


def test_without_a_rollout_the_champion_answers() -> None:
    split = split_of(ModelState(champion=4), "c1")
    assert (split.answered_by, split.candidate, split.share, split.drawn) == (4, None, 0.0, None)


def test_share_zero_means_none() -> None:
    assert {split_of(state(0.0, Phase.SHADOW), f"c{i}").answered_by for i in range(5_000)} == {1}


def test_share_one_means_all() -> None:
    assert {split_of(state(1.0), f"c{i}").answered_by for i in range(5_000)} == {2}


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_the_candidate_answers_exactly_below_the_share(share: float) -> None:
    subjects = [f"c{i}" for i in range(20_000)]
    below = {subject for subject in subjects if split_hash("o2", subject) < share}
    assert {subject for subject in subjects if split_of(state(share), subject).answered_by == 2} == below
    assert len(below) / len(subjects) == pytest.approx(share, abs=0.01)


def test_who_was_in_a_smaller_share_stays_in_a_larger_one() -> None:
    for subject in (f"c{i}" for i in range(2_000)):
        if split_of(state(0.05), subject).answered_by == 2:
            assert split_of(state(0.25), subject).answered_by == 2


def test_a_candidate_that_is_still_loaded_takes_no_part() -> None:
    split = split_of(state(0.0, Phase.PREPARING), "c1")
    assert (split.answered_by, split.rollout_id, split.candidate) == (1, None, None)


def test_the_subject_is_what_the_definition_says() -> None:
    by_record = b.model(rollout={"split": "record"})
    assert subject_of(b.model(), "c1", "t1", "q1") == "c1"
    assert subject_of(by_record, "c1", "t1", "q1") == "t1"
    assert subject_of(by_record, "c1", None, "q1") == "q1"
