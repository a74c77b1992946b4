"""What handlers get and what becomes of their outputs: timers, ids, dead letters, events that are too large."""

from __future__ import annotations

from shared.contracts.envelope import Mark, Message
from shared.contracts.flow import EventBuried
from shared.runtime.task_file import OutboxRow, TaskFile
from tests import builders as b
from tests.unit.runtime.toy_task import (
    both_marked,
    events,
    history,
    marks,
    open_task,
    predicted,
    record_ids,
    said,
    seen,
    take,
)

T0 = b.T0_MS


def letters(file: TaskFile) -> list[OutboxRow]:
    return [row for row in file.outbox() if row.topic == "monitoring.dead.v1"]


def test_a_timer_fires_strictly_after_the_watermark_has_passed_it() -> None:
    task = open_task()
    take(task, predicted(1, entity=f"due:{T0 + 10}"), *both_marked(T0 + 10, predictions=1))
    assert seen(task) == ["r1"]
    take(task, *both_marked(T0 + 11, predictions=1))
    assert seen(task) == ["r1", "due 10"]


def test_timers_fire_in_order_of_time_key_and_name_before_the_next_entry() -> None:
    task = open_task()
    asked = [("b", 20), ("a", 20), ("c", 10)]
    take(task, *[predicted(n, key, entity=f"due:{T0 + due}") for n, (key, due) in enumerate(asked, 1)])
    take(task, *both_marked(T0 + 30, predictions=3), predicted(4, "a"))
    assert record_ids(task)[3:] == ["due-c", "due-a", "due-b", "r4"]
    assert seen(task, "a") == ["r2", "due 20", "r4"]


def test_a_timer_moves_clears_and_outlives_the_process() -> None:
    file = TaskFile("join", None)
    task = open_task(file)
    take(task, predicted(1, "moved", entity=f"due:{T0 + 5}"), predicted(2, "moved", entity=f"due:{T0 + 50}"))
    take(task, predicted(3, "cleared", entity=f"due:{T0 + 5}"), predicted(4, "cleared", entity="clear"))
    again = open_task(file)
    take(again, *both_marked(T0 + 40, predictions=4))
    assert list(again.timers()) == [(T0 + 50, "moved", "due:x")]
    take(again, *both_marked(T0 + 60, predictions=4))
    assert (seen(again, "moved"), seen(again, "cleared")) == (["r1", "r2", "due 50"], ["r3", "r4"])


def test_a_timer_behind_the_watermark_fires_at_once() -> None:
    task = open_task()
    take(task, *both_marked(T0 + 100), predicted(1, entity=f"due:{T0}"), predicted(2))
    assert seen(task) == ["r1", "due 0", "r2"]


def test_the_same_log_gives_the_same_ids_and_numbers_whatever_the_batches() -> None:
    log = [predicted(1, entity=f"due:{T0 + 5}"), predicted(2, "j"), *both_marked(T0 + 9, 2), predicted(3)]
    whole, pieces = open_task(), open_task()
    take(whole, *log)
    for piece in log:
        take(pieces, piece)
    assert events(whole) == events(pieces)
    assert [message.sequence for message in events(whole)] == [1, 2, 3, 4]
    assert len({message.id for message in events(whole)}) == 4


def test_a_handler_that_raises_leaves_the_state_and_sends_the_record_to_the_dead_letters() -> None:
    task = open_task()
    take(task, predicted(1), predicted(2, entity="raise"), predicted(3))
    assert (seen(task), task.position, task.counts.dead) == (["r1", "r3"], 3, 1)
    [letter] = letters(task.file)
    headers = dict(letter.headers)
    assert letter.key == b"k"
    assert b'"record_id":"r2"' in (letter.value or b"")
    assert headers["ce_sequence"] == b"2"
    assert headers["__connect.errors.topic"] == b"joins.card_fraud.v1"
    assert headers["__connect.errors.offset"] == b"1"
    assert headers["__connect.errors.exception.class.name"] == b"ValueError"
    assert headers["__connect.errors.exception.message"] == b"this one cannot be taken"
    assert b"on_prediction" in headers["__connect.errors.exception.stacktrace"]


def test_a_dead_letter_that_would_be_too_large_keeps_the_first_64_kb() -> None:
    task = open_task(largest_event_bytes=100_000)
    take(task, predicted(1, entity="raise", inputs={"text": "x" * 99_000}))
    [letter] = letters(task.file)
    assert len(letter.value or b"") == 65_536
    assert int(dict(letter.headers)["headrace_value_length"]) > 99_000
    assert len(dict(letter.headers)["headrace_value_sha256"]) == 64


def test_an_event_that_is_too_large_is_buried_with_its_number() -> None:
    task = open_task(largest_event_bytes=10_000)
    take(task, predicted(1), predicted(2, entity="large:20000"), predicted(3), *both_marked(T0, predictions=3))
    kinds = [type(what.event).__name__ for what in events(task)]
    assert kinds == ["OutcomeScored", "EventBuried", "OutcomeScored"]
    assert [message.sequence for message in events(task)] == [1, 2, 3]
    assert [mark.sequence for mark in marks(task)] == [3]
    [letter] = letters(task.file)
    headers = dict(letter.headers)
    assert headers["__connect.errors.exception.class.name"] == b"EventTooLarge"
    assert headers["ce_sequence"] == b"2"
    assert int(headers["headrace_value_length"]) > 20_000


def test_a_key_that_is_too_large_is_cut_too() -> None:
    task = open_task(largest_event_bytes=100_000)
    take(task, predicted(1, "é" * 100_000))
    assert all(len(row.key or b"") <= 65_536 for row in task.file.outbox())
    [buried] = events(task)
    assert isinstance(buried.event, EventBuried)


def test_a_reader_passes_over_what_is_buried() -> None:
    large = open_task(largest_event_bytes=10_000)
    take(large, predicted(1, entity="large:20000"))
    [buried] = events(large)
    task = open_task()
    take(task, Message("i", predicted(1).source, T0, "k", buried.event, 1, 2), predicted(2))
    assert (seen(task), task.counts.dead) == (["r2"], 0)


def test_a_state_that_is_forgotten_leaves_nothing_in_the_file() -> None:
    task = open_task()
    take(task, predicted(1), predicted(2, "j"), predicted(3, entity="forget"))
    assert [key for key, _ in task.file.states()] == ["j"]
    take(task, predicted(4))
    assert seen(task) == ["r4"]


def test_what_a_step_has_no_handler_for_passes() -> None:
    task = open_task()
    take(task, b.message(b.computed(), source=predicted(1).source, sequence=1, control=2), predicted(2))
    assert (seen(task), task.counts.dead) == (["r2"], 0)


def test_outputs_carry_the_control_position_and_stand_before_their_mark() -> None:
    task = open_task(known=history(b.tick()))
    take(task, predicted(1, control=3), *both_marked(T0, predictions=1, control=3))
    first, mark = said(task.file.outbox())
    assert isinstance(first, Message)
    assert isinstance(mark, Mark)
    assert (first.control, first.sequence, mark.sequence) == (3, 1, 1)
