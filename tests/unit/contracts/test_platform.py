"""The platform as a fold of its control log: one model's story, read after each event."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import pytest

from shared.contracts.control import Phase, TableCopied
from shared.contracts.envelope import NEVER_MS, Event
from shared.contracts.platform import ModelState, Platform
from tests import builders as b

BEFORE = (b.founded(), b.applied())
FIRST_VERSION = (
    b.run_requested(),
    b.run_progressed(),
    b.run_finished(),
    b.registered(1),
    b.approved(1),
    b.promoted(1),
)
SECOND_VERSION = (
    b.drift(),
    b.run_requested(run_id="r2", drift_id="d1"),
    b.run_finished(run_id="r2"),
    b.registered(2),
    b.approved(2),
    b.rollout_started(),
    b.rollout_advanced(),
    b.rollout_advanced(phase=Phase.STEP, step=1, share=0.05),
    b.promoted(2, former=1, watch_until_ms=b.T0_MS + 1),
    b.rollout_ended(),
)


def fold(*events: Event, platform: Platform | None = None) -> Platform:
    return reduce(lambda state, event: state.after(b.message(event)), events, platform or Platform())


def after(*events: Event) -> ModelState:
    return fold(*BEFORE, *events).model(b.MODEL)


def test_the_position_counts_every_entry() -> None:
    platform = fold(*BEFORE)
    assert platform.position == 2
    assert platform.skipped() == replace(platform, position=3)


def test_the_first_founding_names_the_log() -> None:
    assert fold(b.founded("one"), b.founded("two")).log_id == "one"


def test_definitions_come_into_force_at_their_position() -> None:
    platform = fold(*BEFORE)
    assert platform.definitions == b.definitions()
    assert platform.definitions_at == 2
    assert platform.models == {b.MODEL: ModelState()}


def test_a_later_definition_keeps_what_was_decided() -> None:
    other = b.model(name="other")
    platform = fold(*BEFORE, *FIRST_VERSION, b.applied(other))
    assert platform.model(b.MODEL).champion == 1
    assert platform.models["other"] == ModelState()
    assert platform.definitions == b.definitions(other)


def test_what_concerns_no_known_model_moves_the_position_alone() -> None:
    platform = fold(*BEFORE)
    assert fold(b.promoted(model="nobody"), platform=platform) == platform.skipped()


def test_a_run_from_request_to_version() -> None:
    run = after(*FIRST_VERSION[:1]).run
    assert run is not None
    assert (run.run_id, run.requested_at, run.fraction) == ("r1", 3, 0.0)
    run = after(*FIRST_VERSION[:2]).run
    assert run is not None
    assert (run.fraction, run.doing) == (0.5, "search")
    finished = after(*FIRST_VERSION[:3])
    assert finished.run is None
    assert finished.last_run == b.run_finished()
    registered = after(*FIRST_VERSION[:4])
    assert registered.champion is None
    assert registered.versions[1].registered_at == 6
    assert registered.to_load == ()


def test_what_another_run_reports_is_not_this_runs_progress() -> None:
    state = after(b.run_requested())
    assert after(b.run_requested(), b.run_progressed(run_id="r0"), b.run_failed(run_id="r0")) == state


def test_a_failed_run_ends() -> None:
    state = after(b.run_requested(), b.run_failed())
    assert state.run is None
    assert state.last_run == b.run_failed()


def test_the_first_version_is_loaded_when_approved_and_answers_when_promoted() -> None:
    approved = after(*FIRST_VERSION[:5])
    assert (approved.in_play, approved.to_load) == ((), (1,))
    assert (approved.versions[1].approved_at, approved.versions[1].approved_by) == (7, "auto")
    promoted = after(*FIRST_VERSION)
    assert (promoted.champion, promoted.promoted_at, promoted.in_play) == (1, 8, (1,))


@pytest.mark.parametrize(
    ("events", "phase", "share", "in_play", "to_load"),
    [
        (5, None, None, (1,), (1, 2)),
        (6, Phase.PREPARING, 0.0, (1,), (1, 2)),
        (7, Phase.SHADOW, 0.0, (1, 2), (1, 2)),
        (8, Phase.STEP, 0.05, (1, 2), (1, 2)),
        (10, None, None, (2, 1), (2, 1)),
    ],
    ids=["approved", "preparing", "shadow", "step", "promoted and ended"],
)
def test_a_rollout(
    events: int, phase: Phase | None, share: float | None, in_play: tuple[int, ...], to_load: tuple[int, ...]
) -> None:
    state = after(*FIRST_VERSION, *SECOND_VERSION[:events])
    rollout = state.rollout
    assert (rollout and rollout.phase, rollout and rollout.share) == (phase, share)
    assert (state.in_play, state.to_load) == (in_play, to_load)


def test_the_former_champion_is_on_watch_until_that_ends() -> None:
    watched = after(*FIRST_VERSION, *SECOND_VERSION)
    assert (watched.champion, watched.former, watched.watch_until_ms) == (2, 1, b.T0_MS + 1)
    over = after(*FIRST_VERSION, *SECOND_VERSION, b.watch_ended())
    assert (over.champion, over.former, over.in_play) == (2, None, (2,))


def test_after_a_roll_back_the_former_champion_answers_alone() -> None:
    state = after(*FIRST_VERSION, *SECOND_VERSION, b.rolled_back())
    assert (state.champion, state.former, state.watch_until_ms, state.in_play) == (1, None, None, (1,))


def test_without_a_watch_the_former_champion_leaves() -> None:
    assert after(*FIRST_VERSION, b.registered(2), b.approved(2), b.promoted(2, former=1)).in_play == (2,)


def test_events_of_another_rollout_change_nothing() -> None:
    state = after(*FIRST_VERSION, *SECOND_VERSION[:8])
    stale = (b.rollout_advanced(rollout_id="o1", share=1.0), b.rollout_ended(rollout_id="o1"))
    assert after(*FIRST_VERSION, *SECOND_VERSION[:8], *stale) == state


def test_the_position_in_outcomes_never_goes_back() -> None:
    assert after(b.quality(position=200), b.quality(position=100)).position == 200
    assert after(b.quality(position=200), b.drift(position=300)).position == 300


def test_a_tick_moves_its_own_clock_and_never_back() -> None:
    platform = fold(*BEFORE)
    assert platform.now_ms(b.MODEL) == NEVER_MS
    ticked = platform.after(b.message(b.tick(b.SOURCE, b.LABELS), time_ms=1_000))
    assert ticked.ticks == {b.SOURCE: 1_000, b.LABELS: 1_000}
    assert ticked.now_ms(b.MODEL) == 1_000
    assert ticked.last_ticks[b.SOURCE] == (3, b.tick(b.SOURCE, b.LABELS))
    late = ticked.after(b.message(b.tick(b.SOURCE), time_ms=900)).after(b.message(b.tick(), time_ms=5_000))
    assert late.ticks == {b.SOURCE: 1_000, b.LABELS: 1_000, "wall": 5_000}
    assert late.position == 5


def test_a_prefix_is_the_state_as_it_was() -> None:
    events = (*BEFORE, *FIRST_VERSION, *SECOND_VERSION)
    states = [fold(*events[:n]) for n in range(len(events) + 1)]
    assert [state.position for state in states] == list(range(len(events) + 1))
    assert fold(*events[10:], platform=states[10]) == states[-1]


WAITS = (*FIRST_VERSION, b.registered(2, follows="approval"))
MANUAL = b.model(rollout={**b.model().rollout.model_dump(), "approval": "manual"})


@pytest.mark.parametrize(
    ("events", "waits"),
    [
        ((), 2),
        ((b.approved(2, by="ann"),), None),
        ((b.registered(3, gate_passed=False),), 2),
        ((b.registered(3, follows="approval"),), 3),
        ((b.registered(3, follows="rollout"),), None),
        ((b.registered(3, follows="approval"), b.approved(2, by="ann")), 3),
        ((b.promoted(1),), None),
        ((b.rolled_back(),), None),
        ((b.applied(MANUAL),), 2),
        ((b.applied(b.model()),), None),
    ],
    ids=[
        "it waits", "it is approved", "another fails", "another waits", "another goes on", "the former is approved",
        "another answers", "the former answers", "manual stays", "auto from now on",
    ],
)  # fmt: skip
def test_a_version_waits_for_a_person_until_it_or_another_goes_further(events: tuple[Event, ...], waits: int) -> None:
    assert after(*WAITS, *events).for_a_person == waits


def copied(position: int, uri: str = "", view: str = b.VIEW) -> TableCopied:
    return TableCopied(
        view=view, partition=0, position=position, sequences={"task": position}, rows=1, table=b.reference(uri=uri)
    )


def test_of_the_copies_of_a_table_the_furthest_two_are_known_in_their_order() -> None:
    state = fold(copied(10), copied(30), copied(20), copied(5), copied(30, "another"), copied(7, view="other"))
    assert [(copy.position, copy.table.uri) for copy in state.tables[b.VIEW, 0]] == [(20, ""), (30, "")]
    assert [copy.position for copy in state.tables["other", 0]] == [7]
    assert state.tables[b.VIEW, 0][0].copied_ms == b.T0_MS


def test_what_monitors_compare_with_comes_from_the_registered_version() -> None:
    said = {"base": 0.1, "cap": 0.2, "columns": [], "trees": []}
    version = after(b.registered(1, expected_loss=said, reference={"rows": 100})).versions[1]
    assert (version.expected_loss, version.reference) == (said, {"rows": 100})
    assert after(b.registered(1)).versions[1].expected_loss is None


def test_inputs_that_moved_decide_nothing() -> None:
    assert after(*FIRST_VERSION, b.inputs_moved()) == after(*FIRST_VERSION)
