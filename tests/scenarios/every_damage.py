"""Every damage to the good history, by the number of the invariant that it breaks, and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.scenarios import damage as of
from tests.scenarios.topic_history import TopicHistory

DAMAGE: Mapping[str, tuple[int, Callable[[], TopicHistory | of.Damaged]]] = {
    "another former champion": (1, of.another_former),
    "another version approved": (2, of.approved_another),
    "another artifact named": (3, of.another_artifact),
    "another output": (4, of.another_output),
    "windows of another entity": (5, of.windows_of_another),
    "a record from nowhere": (6, of.a_record_that_was_never_there),
    "a duplicate that is none": (6, of.a_duplicate_that_is_none),
    "an outcome that never matured": (6, of.a_label_lost),
    "control goes back": (7, of.control_goes_back),
    "behind its own mark": (7, of.behind_its_own_mark),
    "a watermark goes back": (7, of.a_watermark_goes_back),
    "an event that no replay derives": (7, of.an_event_that_no_replay_derives),
    "state of another position": (8, of.state_of_another_position),
    "a step with a memory of its own": (9, of.a_step_with_a_memory_of_its_own),
    "a copy with another row": (9, of.a_copy_with_another_row),
    "a copy of another position": (9, of.a_copy_of_another_position),
    "a copy of a file that is no replay": (9, of.a_copy_of_a_file_that_is_no_replay),
    "an input from the future": (10, of.an_input_from_the_future),
    "another amount archived": (10, of.another_amount_archived),
    "another position archived": (10, of.another_position_archived),
    "an archive of other bytes": (10, of.archive_of_other_bytes),
    "two runs of one drift": (11, of.two_runs_of_one_drift),
    "a run in a run": (12, of.a_run_in_a_run),
    "two versions of one run": (13, of.two_versions_of_one_run),
    "a version of no run": (13, of.a_version_of_no_run),
    "answered against the split": (14, of.answered_against_the_split),
    "a share in the shadow": (15, of.a_share_in_the_shadow),
    "promoted on no outcomes": (16, of.promoted_on_nothing),
    "behind its deadline": (17, of.behind_its_deadline),
    "a rollout without an end": (17, of.a_rollout_without_an_end),
    "back without approval": (18, of.back_without_approval),
    "a label used twice": (19, of.a_label_used_twice),
    "a label misread": (19, of.a_label_misread),
    "a missing label taken for one": (19, of.a_missing_label_taken_for_one),
    "a revision of what was never said": (19, of.a_revision_of_what_was_never_said),
    "an outcome before it is due": (19, of.an_outcome_before_it_is_due),
    "other words under a taken number": (20, of.a_stranger_with_a_number),
    "a stranger's words": (20, of.a_stranger),
}


def damaged(name: str) -> of.Damaged:
    made = DAMAGE[name][1]()
    return of.Damaged(made) if isinstance(made, TopicHistory) else made
