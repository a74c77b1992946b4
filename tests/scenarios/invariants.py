"""The invariants of section 8 of the design, by number: which are checked from topic history, and with what besides.

`check(history)` looks at topics alone. Given the object store it also scores predictions again (4), computes inputs
from the archived records (10; else from the topic), and replays every task of every service twice (7, 9); given the
task files, it compares them with the replays (8).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.task_file import TaskFile
from tests.scenarios import control_invariants as decisions
from tests.scenarios import flow_invariants as flow
from tests.scenarios import log_invariants as logs
from tests.scenarios import prediction_invariants as predictions
from tests.scenarios import promotion_invariants as promotions
from tests.scenarios import replayed_tasks as replays
from tests.scenarios import tables
from tests.scenarios.adopted_positions import only_what_ticks_name_is_adopted
from tests.scenarios.decided_labels import the_newest_in_time_decides, what_decides_is_said
from tests.scenarios.decided_order import decided_by_time_and_id
from tests.scenarios.evidence import Check, Evidence, Violation
from tests.scenarios.head_promises import heads_promise_what_they_have_seen
from tests.scenarios.topic_history import TopicHistory


class Needs(StrEnum):
    """What a check looks at besides the topics; without it that part of the check says nothing."""

    TOPICS = "topics"
    ARTIFACTS = "topics and the object store"
    FILES = "topics, the object store and the task files"


@dataclass(frozen=True, slots=True)
class Invariant:
    """`checks` all have to hold."""

    statement: str
    checks: tuple[Check, ...]
    needs: Needs = Needs.TOPICS


INVARIANTS: Mapping[int, Invariant] = {
    1: Invariant("at most one champion a model", (decisions.one_champion,)),
    2: Invariant("what answers was registered, gated and approved earlier", (decisions.answers_are_approved,)),
    3: Invariant(
        "a prediction names one input vector and one artifact an output", (predictions.one_vector_and_artifact,)
    ),
    4: Invariant("scoring again gives the same output", (predictions.scoring_again,), Needs.ARTIFACTS),
    5: Invariant("an accepted record changes window state exactly once", (flow.windows_change_once,)),
    6: Invariant("what was read is accounted for", (flow.everything_is_counted,)),
    7: Invariant(
        "accepted is what a replay derives; no watermark or control position goes back, or comes in but by a tick",
        (
            logs.promises_are_kept,
            only_what_ticks_name_is_adopted,
            heads_promise_what_they_have_seen,
            replays.derived_is_accepted,
        ),
        Needs.ARTIFACTS,
    ),
    8: Invariant("position and state agree", (replays.state_is_at_position,), Needs.FILES),
    9: Invariant(
        "a replay, from the start or from a copy, gives the same events, ids, sequences and state",
        (replays.replays_agree, tables.copies_hold_their_log),
        Needs.ARTIFACTS,
    ),
    10: Invariant("no input is newer than its as-of time", (predictions.nothing_newer_than_as_of,), Needs.ARTIFACTS),
    11: Invariant("a drift event leads to at most one run", (decisions.one_run_a_drift,)),
    12: Invariant("at most one active run a model", (decisions.one_active_run,)),
    13: Invariant("one run makes at most one version", (decisions.one_version_a_run,)),
    14: Invariant("the candidate answers exactly below the share", (predictions.split_decides,)),
    15: Invariant("share 0 means none", (predictions.share_zero_is_none,)),
    16: Invariant("no promotion without enough fresh, finite, current figures", (promotions.promotions_have_figures,)),
    17: Invariant("every rollout ends by its deadline, in ticks", (decisions.rollouts_end,)),
    18: Invariant("a rolled-back version returns only by a new approval", (decisions.rolled_back_stays_away,)),
    19: Invariant(
        "one outcome a join id, one fate a label; the newest in time decides, and outcomes in the order of their time",
        (
            predictions.each_label_has_one_fate,
            the_newest_in_time_decides,
            what_decides_is_said,
            decided_by_time_and_id,
        ),
        Needs.ARTIFACTS,
    ),
    20: Invariant(
        "what a process writes that lost its partition changes nothing",
        (logs.only_owners_count,),
    ),
}


def listing() -> list[str]:
    """By number: what is checked, and by looking at what."""
    return [f"{number}: {one.statement}: checked, from {one.needs}" for number, one in INVARIANTS.items()]


def check(
    history: TopicHistory,
    artifacts: ArtifactStore | None = None,
    files: Mapping[str, TaskFile] | None = None,
    *,
    replay: bool = True,
    steps: replays.MakeSteps | None = None,
    numbers: Collection[int] = (),
    at_most: int = 5,
) -> list[Violation]:
    """What does not hold of a settled platform's topics, at most so many of each check.

    `replay` False leaves 7 (but for promises), 8 and 9 out; without `artifacts` they are left out as well. `steps`:
    what tasks are replayed with, in place of the services' own. `numbers`: only these.
    """
    if artifacts is not None and replay:
        steps = steps or replays.steps_of_all(history, artifacts)
    evidence = Evidence(history, artifacts, steps, files or {})
    return [
        Violation(number, text)
        for number in numbers or INVARIANTS
        for one in INVARIANTS[number].checks
        for text in islice(one(evidence), at_most)
    ]
