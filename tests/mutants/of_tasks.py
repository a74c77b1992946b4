"""Planted in the runtime: a task's file, its outbox, copies, hand-over, damage, releases and dead letters."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

TASK, FILE, RELAY = "shared/runtime/task.py", "shared/runtime/task_file.py", "shared/runtime/relay.py"
UNIT = "tests/unit/runtime"

MUTANTS = (
    Mutant(
        "position stored apart from state",
        "3, a task",
        "Its file takes each batch in one transaction: input position, state, outbox rows, sequences.",
        (
            Edit(
                FILE,
                "            self._write(changes)\n            run(\"INSERT OR REPLACE INTO meta VALUES ('pos",
                "            run(\"INSERT OR REPLACE INTO meta VALUES ('pos",
            ),
            Edit(
                FILE,
                'many("INSERT OR REPLACE INTO meta VALUES (?, ?)", changes.meta.items())\n\n    def',
                'many("INSERT OR REPLACE INTO meta VALUES (?, ?)", changes.meta.items())\n'
                "        with self.connection:\n"
                '            run("BEGIN IMMEDIATE")\n'
                "            self._write(changes)\n\n    def",
            ),
        ),
        falls=(5, 6, 7, 8, 9),
        histories="dying",
    ),
    Mutant(
        "a full disk loses what was taken",
        "5, faults",
        "A full disk pauses a task; what it had taken is kept, and written once there is room.",
        (
            Edit(
                FILE,
                "from shared.runtime.full_disks import room_for\n",
                "from shared.runtime.full_disks import DiskFull, room_for\n",
            ),
            Edit(
                FILE,
                "        with self._room():\n            self._commit(changes)\n",
                "        try:\n            with self._room():\n                self._commit(changes)\n"
                "        except DiskFull:\n            changes.outbox = []\n            raise\n",
            ),
        ),
        falls=(5, 6, 7, 8),
    ),
    Mutant(
        "two owners of one file",
        "3, what follows",
        "A commit conditional on the loaded position keeps two processes off one file.",
        (
            Edit(FILE, "            if found != expected:\n", "            if found < expected:\n"),
            Edit(FILE, '"INSERT INTO outbox VALUES', '"INSERT OR REPLACE INTO outbox VALUES'),
        ),
        tests=(
            f"{UNIT}/test_relay.py::test_a_second_owner_of_one_file_is_refused_at_its_commit",
            f"{UNIT}/test_relay.py::test_an_owner_that_only_says_a_mark_is_noticed_too",
        ),
    ),
    Mutant(
        "state of another log taken for its own",
        "1, the log's id",
        "State made beside another log is refused.",
        (Edit(FILE, "        elif held != log_id:\n", "        elif not held:\n"),),
        tests=(f"{UNIT}/test_relay.py::test_state_of_another_log_is_refused_with_the_command_that_mends_it",),
    ),
    Mutant(
        "the numbers that were accepted are forgotten in a restart",
        "3, a task",
        "Its file holds the sequences that it has accepted, with the position.",
        (
            Edit(
                FILE,
                "return {task: Producer(last, watermark, control) for",
                "return {task: Producer(0, watermark, control) for",
            ),
        ),
        falls=(5, 6, 7, 9, 19),
    ),
    Mutant(
        "the control position that was shown is forgotten in a restart",
        "3, marks",
        "A task works under the control events up to the position that its input has shown it.",
        (Edit(TASK, '{"ordinal": self._ordinal, "control": self.control,', '{"ordinal": self._ordinal,'),),
        falls=(6, 7, 9),
    ),
    Mutant(
        "timers are forgotten in a restart",
        "3, a task",
        "After a crash the task goes on from its file, with the timers that were set.",
        (Edit(TASK, "for due, key, name in file.timers()}", "for due, key, name in file.timers()[:0]}"),),
        falls=(6, 8, 9, 19),
    ),
    # --- the outbox
    Mutant(
        "a publish's failure is ignored",
        "3, a task",
        "The cursor moves over what was acknowledged; after a failure it is sent again.",
        (
            Edit(
                RELAY,
                "            self.failure = error\n            return\n        self._answers[row.ordinal] = offset\n",
                "            offset = 0\n        self._answers[row.ordinal] = offset\n",
            ),
        ),
        falls=(5, 6, 7),
        fast=1,
    ),
    Mutant(
        "only what failed is sent again",
        "3, a task",
        "After a failure everything behind the cursor is sent again, in order: what came after a gap was skipped.",
        (
            Edit(
                RELAY,
                "extendleft(reversed(self._flying))",
                "extendleft(row for row in reversed(self._flying) if row.ordinal not in self._answers)",
            ),
        ),
        falls=(5, 6, 7),
    ),
    Mutant(
        "the cursor moves when a row is sent",
        "3, a task",
        "The cursor moves over what was acknowledged, not over what was sent.",
        (
            Edit(
                RELAY,
                "            self._flying.append(row)\n",
                "            self._flying.append(row)\n"
                "            self.task.acknowledged(row.ordinal, row.topic, row.partition, 0)\n",
            ),
        ),
        falls=(5, 6, 7),
        histories="rough",
    ),
    Mutant(
        "the cursor moves over a gap",
        "3, a task",
        "The cursor moves over the prefix that was acknowledged.",
        (
            Edit(
                RELAY,
                "        self._answers[row.ordinal] = offset\n",
                "        self._answers[row.ordinal] = offset\n"
                "        self.task.acknowledged(row.ordinal, row.topic, row.partition, offset + 1)\n",
            ),
        ),
        falls=(5, 6, 7),
        histories="rough",
    ),
    # --- sequences
    Mutant(
        "copies are restored without a look at who went further",
        "3, what follows",
        "A task goes on from the furthest of its file and its copies.",
        (
            Edit(
                "shared/runtime/copies.py",
                "            if (name.position, name.ordinal) <= reached:\n                return None\n",
                "",
            ),
        ),
        tests=(f"{UNIT}/test_copies.py::test_only_what_is_beyond_the_file_at_hand_is_fetched",),
    ),
    Mutant(
        "a hand-over that waits for nothing",
        "3, what follows",
        "A new owner waits for the last copy of a former one that is still there.",
        (
            Edit(
                "shared/runtime/open_files.py",
                "        if not found.handed_over and self._now_s() < opening.until_s:\n",
                "        if not found.handed_over and self._now_s() < 0:\n",
            ),
        ),
        tests=(f"{UNIT}/test_open_files.py::test_a_new_owner_waits_for_the_last_copy_of_the_former_one",),
    ),
    Mutant(
        "damage that nobody looks for",
        "5, faults",
        "A copy that SQLite finds damaged is not kept in the place of a whole one.",
        (Edit("shared/runtime/sqlite_files.py", '        if found != "ok":\n', '        if found == "":\n'),),
        tests=(
            f"{UNIT}/test_damaged_files.py::test_a_copy_of_a_file_that_was_spoilt_while_its_task_ran_pushes_no_whole_one_out",
        ),
    ),
    Mutant(
        "a task with a damaged file taken for a new one",
        "5, faults",
        "A task whose file was set aside, and whose log has lost its beginning, does not begin anew.",
        (Edit(FILE, "        self._may_be_new = not was_damaged\n", "        self._may_be_new = True\n"),),
        tests=(f"{UNIT}/test_records_expired.py::test_a_task_whose_file_was_damaged_is_not_new",),
    ),
    Mutant(
        "a topic that was made anew taken for the one before it",
        "5, faults",
        "Positions in a topic say nothing of another that has its name since.",
        (Edit("shared/runtime/topic_ids.py", "        return now != began\n", "        return False\n"),),
        tests=(
            f"{UNIT}/test_records_expired.py::test_a_topic_that_was_made_anew_is_not_read_on[False-6]",
            f"{UNIT}/test_tables.py::test_a_log_that_was_deleted_and_made_anew_is_not_read_on[False-9]",
        ),
    ),
    Mutant(
        "what was fetched of a topic that nobody can name is dropped",
        "5, faults",
        "What is not taken in is fetched again.",
        (
            Edit(
                "shared/runtime/intake.py",
                "                self._reader.seek(tp, fetched[0].offset)\n",
                "                pass\n",
            ),
        ),
        tests=(
            f"{UNIT}/test_records_expired.py::"
            "test_what_was_fetched_while_nobody_can_say_of_which_topic_it_is_is_fetched_again",
        ),
    ),
    # --- releases
    Mutant(
        "a release is taken up early",
        "3, what follows",
        "The new code goes on from the first entry that shows the release; what stands before it is the old one's.",
        (Edit(TASK, "        if shown != self.release:\n", "        if shown > self.release:\n"),),
        falls=(7, 20),
        histories="release",
    ),
    Mutant(
        "a release is not stood back for",
        "3, what follows",
        "The old code stops at the first entry that shows the release.",
        (Edit(TASK, "        if shown != self.release:\n", "        if shown < self.release:\n"),),
        falls=(7, 20),
        histories="release",
    ),
    # --- dead letters
    Mutant(
        "a dead letter replayed twice counts twice",
        "3, bad input",
        "A replayed dead letter counts once, by its id, however often it is sent.",
        (
            Edit(TASK, " or message.id in self._replays:\n", ":\n"),
            Edit(FILE, '"INSERT INTO replays', '"INSERT OR REPLACE INTO replays'),
        ),
        falls=(5, 6, 19),
        histories="letters",
    ),
    Mutant(
        "which dead letters were replayed is forgotten in a restart",
        "3, bad input",
        "The ids of replayed dead letters are kept in the task's file, in the transaction of what they led to.",
        (Edit(TASK, "        self._changes.replays.append(message.id)\n", ""),),
        falls=(5, 6, 7, 9, 19),
        histories="letters",
    ),
    Mutant(
        "an entry that cannot be read takes no number",
        "3, bad input",
        "Bad bytes are buried with their number: otherwise all that its writer says later is a gap.",
        (
            Edit(
                TASK,
                "            producer.last += 1\n            self._shown(wrote.source, producer,",
                "            self._shown(wrote.source, producer,",
            ),
        ),
        tests=(f"{UNIT}/test_task_accepts.py::test_an_unreadable_entry_takes_its_number",),
    ),
)
