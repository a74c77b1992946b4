"""Which entries of a log count for a task, and what their marks promise."""

from __future__ import annotations

from shared.contracts.envelope import NEVER_MS, Encoded, encode
from shared.runtime.history import ControlHistory
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.unit.runtime.toy_task import (
    LABELS_TASK,
    both_marked,
    control_log,
    history,
    labelled,
    marked,
    marks,
    open_task,
    predicted,
    record_ids,
    seen,
    take,
)

T0 = b.T0_MS


def test_a_repetition_is_skipped_and_a_gap_comes_again() -> None:
    task = open_task()
    take(task, predicted(1), predicted(1), predicted(3), predicted(2), predicted(1), predicted(3), predicted(3))
    assert seen(task) == ["r1", "r2", "r3"]
    assert task.counts.skipped == 4
    assert record_ids(task) == ["r1", "r2", "r3"]


def test_each_producer_counts_on_its_own() -> None:
    task = open_task()
    take(task, predicted(1), labelled(1), labelled(2), predicted(2))
    assert seen(task) == ["r1", "l1", "l2", "r2"]


def test_what_comes_from_outside_has_no_number() -> None:
    task = open_task()
    take(task, b.message(b.label(label_id="o1"), source="headrace/serving/0", key="k"))
    assert seen(task) == ["o1"]


def test_where_the_beginning_has_expired_the_first_number_is_the_baseline() -> None:
    file = TaskFile("join", None)
    task = open_task(file, begins_late=True)
    take(task, predicted(41), predicted(43), predicted(42), predicted(43))
    assert seen(task) == ["r41", "r42", "r43"]
    again = open_task(file)
    take(again, labelled(7), labelled(8))  # heard from for the first time after the restart
    assert seen(again) == ["r41", "r42", "r43", "l7", "l8"]


def test_a_first_mark_is_a_baseline_too() -> None:
    task = open_task(begins_late=True)
    take(task, marked(T0, behind=5), predicted(5), predicted(6))
    assert seen(task) == ["r6"]


def test_at_the_beginning_of_a_log_nothing_but_one_is_first() -> None:
    task = open_task()
    take(task, predicted(2))
    assert seen(task) == []


def test_a_mark_counts_only_behind_the_sequence_that_it_names() -> None:
    task = open_task()
    take(task, marked(T0 + 9, source=LABELS_TASK), marked(T0 + 5, behind=2), predicted(1))
    assert task.watermark_ms == NEVER_MS
    take(task, predicted(2), marked(T0 + 5, behind=2))
    assert task.watermark_ms == T0 + 5


def test_the_watermark_waits_for_a_producer_not_heard_from() -> None:
    task = open_task()
    take(task, marked(T0 + 9))
    assert task.watermark_ms == NEVER_MS
    take(task, marked(T0 + 3, source=LABELS_TASK))
    assert task.watermark_ms == T0 + 3


def test_marks_never_go_back() -> None:
    task = open_task(known=history(b.tick(), b.tick("x")))
    take(task, *both_marked(T0 + 9, control=4), *both_marked(T0 + 2, control=2))
    assert (task.watermark_ms, task.control) == (T0 + 9, 4)


def test_what_the_input_has_shown_outlives_the_process() -> None:
    file, known = TaskFile("join", None), history(b.tick())
    task = open_task(file, known)
    take(task, *both_marked(T0 + 9), predicted(1, control=3))
    again = open_task(file, known)
    assert (again.watermark_ms, again.control, again.position) == (T0 + 9, 3, 3)


def test_an_event_shows_the_control_position_under_which_it_was_derived() -> None:
    task = open_task(known=history(b.tick(), b.tick("x")))
    take(task, predicted(1, control=3), predicted(2, control=2))
    assert task.state("k")["seen"] == ["r1@3", "r2@3"]


def test_a_task_works_under_the_control_events_that_its_input_has_shown() -> None:
    task = open_task(known=history(*[b.tick("x", sources=(f"x{n}",)) for n in range(9)]))
    take(task, predicted(1, control=2), *both_marked(T0, 1, 0, control=7), predicted(2, control=2))
    assert task.state("k")["seen"] == ["r1@2", "r2@7"]


def test_an_entry_waits_until_control_is_read_far_enough() -> None:
    log, known = control_log(b.tick(), b.tick("x")), ControlHistory()
    for record in log[:2]:
        known.append(record)
    task = open_task(known=known)
    assert take(task, predicted(1, control=2), predicted(2, control=4), predicted(3, control=2)) == 1
    assert (task.position, seen(task), task.counts.read) == (1, ["r1"], 1)
    for record in log[2:]:
        known.append(record)
    assert take(task, predicted(2, control=4), predicted(3, control=2)) == 2
    assert seen(task) == ["r1", "r2", "r3"]


def test_a_mark_waits_for_control_too() -> None:
    task = open_task()
    assert take(task, marked(T0, control=3)) == 0
    assert task.position == 0


def test_after_a_restart_a_task_waits_for_what_its_input_had_shown_before() -> None:
    file, log = TaskFile("join", None), control_log(b.tick(), b.tick("x"))
    take(open_task(file, history(b.tick(), b.tick("x"))), *both_marked(T0, control=4))
    known = ControlHistory()
    task = open_task(file, known)
    for record in log:
        assert take(task, predicted(1, control=2)) == 0
        known.append(record)
    assert take(task, predicted(1, control=2)) == 1
    assert task.state("k")["seen"] == ["r1@4"]


def test_an_unreadable_entry_takes_its_number() -> None:
    task = open_task()
    good = encode(predicted(1))
    damaged = Encoded(good.key, b'{"half', good.headers)
    take(task, damaged, predicted(2), damaged)
    assert seen(task) == ["r2"]
    assert (task.counts.dead, task.counts.skipped) == (1, 1)
    [letter] = [row for row in task.file.outbox() if row.topic == "monitoring.dead.v1"]
    assert letter.value == b'{"half'


def test_foreign_bytes_are_buried_and_the_log_goes_on() -> None:
    task = open_task()
    take(task, Encoded(b"key", b"\xff\x00", ()), predicted(1))
    assert seen(task) == ["r1"]
    assert task.counts.dead == 1


def test_the_mark_says_the_lowest_watermark_and_the_highest_position_behind_what_was_derived() -> None:
    task = open_task(known=history(b.tick()))
    take(task, predicted(1), predicted(2), marked(T0 + 5, 2, 3), marked(T0 + 4, 0, 2, LABELS_TASK), now_s=1.0)
    [mark] = marks(task)
    assert (mark.source, mark.sequence, mark.watermark_ms, mark.control) == (task.spec.id, 2, T0 + 4, 3)


def test_marks_are_coalesced_and_say_only_what_is_new() -> None:
    task = open_task()
    take(task, *both_marked(T0 + 1), now_s=1.0)
    take(task, *both_marked(T0 + 2), now_s=1.01)
    take(task, *both_marked(T0 + 3), now_s=1.015)
    assert [mark.watermark_ms for mark in marks(task)] == [T0 + 1]
    assert task.say(1.03)
    assert not task.say(1.06)
    assert [mark.watermark_ms for mark in marks(task)] == [T0 + 1, T0 + 3]


def test_a_new_process_says_its_mark_again() -> None:
    file = TaskFile("join", None)
    task = open_task(file)
    take(task, *both_marked(T0 + 1), now_s=1.0)
    again = open_task(file)
    assert again.unsaid
    assert again.say(0.0)
    assert [mark.watermark_ms for mark in marks(again)] == [T0 + 1, T0 + 1]
