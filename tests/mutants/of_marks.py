"""Planted in the runtime: numbers, marks, timers and time."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

TASK = "shared/runtime/task.py"
UNIT = "tests/unit/runtime"

MUTANTS = (
    Mutant(
        "a sequence unchecked",
        "3, sequences",
        "A reader accepts the next sequence of a task and skips every other: a lower one is a repetition.",
        (Edit(TASK, "        if sequence == producer.last + 1:\n", "        if sequence > 0:\n"),),
        falls=(5, 6, 7, 19),
        fast=1,
    ),
    Mutant(
        "a higher sequence is accepted",
        "3, sequences",
        "A higher sequence than the next is skipped: it comes again after the gap.",
        (Edit(TASK, "        if sequence == producer.last + 1:\n", "        if sequence > producer.last:\n"),),
        falls=(5, 6, 7, 19),
    ),
    Mutant(
        "every first number is a baseline",
        "3, sequences",
        "Only where a log's beginning has expired is the first sequence that a reader meets the baseline.",
        (
            Edit(
                TASK,
                'self.begins_late = begins_late or bool(file.meta("begins_late"))',
                "self.begins_late = True",
            ),
        ),
        tests=(f"{UNIT}/test_task_accepts.py::test_at_the_beginning_of_a_log_nothing_but_one_is_first",),
    ),
    Mutant(
        "a follower takes repetitions",
        "3, sequences",
        "Whoever follows a log without a file accepts the next sequence of a task and skips every other.",
        (
            Edit(
                "shared/runtime/acceptance.py",
                "        if sequence != self._last.get(source, sequence - 1 if self._begins_late else 0) + 1:\n",
                "        if sequence > self._last.get(source, sequence - 1 if self._begins_late else 0) + 1:\n",
            ),
        ),
        falls=(9, "replicas"),
        histories="free",
    ),
    Mutant(
        "a tick numbered as a derived event",
        "3, sequences",
        "What is not derived takes no number of a task: a writer that starts again would begin at one.",
        (
            Edit(
                "shared/runtime/outside.py",
                "        message = Message(event_id, self.identity, time_ms, key, event, None, control, trace)\n",
                "        number = self._said = getattr(self, '_said', 0) + 1\n"
                "        message = Message(event_id, self.identity, time_ms, key, event, number, control, trace)\n",
            ),
        ),
        falls=(20,),
    ),
    Mutant(
        "ids hang on the attempt",
        "3, ids and effects",
        "An id follows from its cause, and from no replica, log or offset: every attempt gives the same one.",
        (
            Edit(
                "shared/runtime/derived_events.py",
                "    parent = output.trace or",
                '    event_id = derived_id(event_id, "attempt", "", id(prepared))\n    parent = output.trace or',
            ),
        ),
        falls=(7, 9, 20),
    ),
    # --- marks and time
    Mutant(
        "a mark counts before its sequence",
        "3, marks",
        "Marks count once the sequence that they name has been accepted.",
        (Edit(TASK, "        if producer.last < mark.sequence:\n            return\n", ""),),
        falls=(6, 7, 10),
        histories="rough",
    ),
    Mutant(
        "a mark let back",
        "3, marks",
        "Marks only ever move forward.",
        (
            Edit(
                TASK,
                "        producer.watermark_ms = max(producer.watermark_ms, watermark_ms)\n",
                "        producer.watermark_ms = watermark_ms\n",
            ),
            Edit(
                TASK,
                "        self.watermark_ms = max(self.watermark_ms, self._watermark_shown())\n",
                "        self.watermark_ms = self._watermark_shown()\n",
            ),
            Edit(
                TASK,
                "        return max(self.watermark_ms, self.said[0]), max(self.control, self.said[1])\n",
                "        return self.watermark_ms, max(self.control, self.said[1])\n",
            ),
        ),
        falls=(6, 7),
    ),
    Mutant(
        "a mark stands before its output",
        "3, marks",
        "After its output a task marks: watermark w promises that nothing earlier than w comes.",
        (
            Edit(
                TASK,
                "encode_mark(Mark(self.spec.id, sequence, watermark_ms, control))",
                "encode_mark(Mark(self.spec.id, 0, watermark_ms, control))",
            ),
        ),
        falls=(7,),
    ),
    Mutant(
        "the watermark over the tasks heard from only",
        "3, marks",
        "The watermark is the lowest over all the tasks that may write the log: one not heard from yet holds it back.",
        (
            Edit(
                TASK,
                "return min((shown[w].watermark_ms if w in shown else NEVER_MS) for w in writers)",
                "return min((shown[w].watermark_ms for w in writers if w in shown), default=NEVER_MS)",
            ),
        ),
        falls=(19,),
        histories="silent",
    ),
    Mutant(
        "control events read ahead of the marks",
        "3, marks",
        "A task works under the control events that its input has shown, however far control.v1 has grown meanwhile.",
        (Edit(TASK, "        return self.history.at(self.control)\n", "        return self.history.newest\n"),),
        falls=(2, 7, 9, 14),
        fast=1,
    ),
    Mutant(
        "timers fire in the order in which they were set",
        "3, marks",
        "Timers fire in the order of (due, key, name).",
        (
            Edit(
                TASK,
                "        while self._heap and self._heap[0][0] < self.watermark_ms:\n"
                "            due_ms, key, name = heapq.heappop(self._heap)\n"
                "            if self._due.get((key, name)) != due_ms:\n"
                "                continue  # moved or cleared since\n",
                "        for (key, name), due_ms in list(self._due.items()):\n"
                "            if due_ms >= self.watermark_ms or self._due.get((key, name)) != due_ms:\n"
                "                continue\n",
            ),
        ),
        falls=(7, 9),
    ),
    Mutant(
        "timers fire once a batch",
        "3, marks",
        "Timers fire before the next entry of the log, whatever the batches.",
        (
            Edit(
                TASK,
                "                    self.position = record.offset + 1\n                    self._fire()\n"
                "                taken += 1\n",
                "                    self.position = record.offset + 1\n                taken += 1\n"
                "            self._fire()\n",
            ),
        ),
        falls=(7, 9),
    ),
    Mutant(
        "a timer fires when the watermark reaches it",
        "3, marks",
        "Timers fire when the watermark has passed them (w > due): what has that very time may still come.",
        (
            Edit(
                TASK,
                "self._heap[0][0] < self.watermark_ms:",
                "self._heap[0][0] <= self.watermark_ms:",
            ),
        ),
        falls=(19,),
        histories="when due",
    ),
    Mutant(
        "a tick of events is marked before its records",
        "3, time",
        "A head step marks a tick once it has read what the topic held then: an outage makes nothing late.",
        (Edit("shared/runtime/head_task.py", "        if self.position >= end:\n", "        if end >= 0:\n"),),
        falls=(7,),
    ),
    Mutant(
        "a wall tick is marked before the end is reached",
        "3, time",
        "A head step marks a tick of the wall once a fetch that it began after seeing it has reached the end.",
        (
            Edit(
                "shared/runtime/head_task.py",
                "        if self._awaited and end_reached(self._awaited[1]):\n",
                "        if self._awaited:\n",
            ),
        ),
        tests=(
            f"{UNIT}/test_head_task.py::test_a_wall_tick_is_marked_only_after_a_fetch_that_began_later_reached_the_end",
        ),
    ),
    Mutant(
        "a replay's heads bring in whatever control they have read",
        "3, lockstep",
        "The ticks of a replay name the control position that its heads adopt, and no other mark brings one in.",
        (
            Edit(
                "shared/runtime/head_task.py",
                "            self.control = max(self.control, tick.adopt or 0)\n",
                "            self.control = max(self.control, platform.position)\n",
            ),
        ),
        falls=(7,),
    ),
    # --- copies and owners
)
