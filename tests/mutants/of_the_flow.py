"""Planted in what records go through: acceptance, windows, scoring, the join of labels, the archive."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

ACCEPT, COMPUTE = "services/ingestion/accept.py", "services/features/compute.py"
JOIN, SPLIT = "services/monitoring/label_join.py", "services/serving/split.py"
WINDOWS = "shared/inputs/windows.py"

MUTANTS = (
    Mutant(
        "an id is forgotten at once",
        "5, records in",
        "De-duplicate on (source, id): the same id sent again is accepted and counted once.",
        (
            Edit(
                ACCEPT,
                "max(message.time_ms, context.watermark_ms) + source.retention.duplicates",
                "max(message.time_ms, context.watermark_ms)",
            ),
        ),
        falls=(6,),
    ),
    Mutant(
        "a rejected record is accepted all the same",
        "3, bad input",
        "A record that does not fit is rejected with the reason, and goes no further.",
        (
            Edit(
                ACCEPT,
                "        return None, [rejected]\n",
                "        return None, [rejected, Publish(RECORDS.of(source.name), message.key, RecordAccepted("
                "source=source.name, record_id=record.record_id, late=False, value=value), message.time_ms)]\n",
            ),
        ),
        falls=(6,),
    ),
    Mutant(
        "what came at the same time is seen",
        "3, point in time",
        "Inputs as of t see nothing with event time at or after t.",
        (
            Edit(
                WINDOWS,
                "    before = bisect_left(series.times, at_ms, series.start, series.end)\n",
                "    before = bisect_left(series.times, at_ms + 1, series.start, series.end)\n",
            ),
        ),
        falls=(10,),
    ),
    Mutant(
        "a window reaches further than it says",
        "3, point in time",
        "Inputs as of t see nothing older than the window.",
        (Edit(WINDOWS, "complete_ms - window.reach_ms, series.start, before)", "0, series.start, before)"),),
        falls=(10,),
    ),
    Mutant(
        "a record sees itself in its windows",
        "3, point in time",
        "Inputs are computed from the window state as it stands in the log before the record.",
        (
            Edit(
                COMPUTE,
                "features_as_of(plan.read, before, record.time_ms)}",
                "features_as_of(plan.read, _observed(plan, before, record), record.time_ms + 1)}",
            ),
        ),
        falls=(10,),
        fast=1,
    ),
    Mutant(
        "late records change no window",
        "3, time",
        "Late records are marked late and pass: windows that are still held take them.",
        (
            Edit(
                COMPUTE,
                "    if entity is None or not plan.views:\n        return None, outputs\n",
                "    if entity is None or not plan.views:\n        return None, outputs\n"
                "    if record.late:\n        return state, outputs\n",
            ),
        ),
        falls=(5,),
    ),
    Mutant(
        "an entity's record is sent on twice",
        "3, one log",
        "A record stands once in the log of each entity on its way.",
        (
            Edit(
                COMPUTE,
                "        outputs.append(_sent_on(plan.onward, record, known))\n",
                "        outputs += [_sent_on(plan.onward, record, known)] * (1 + record.late)\n",
            ),
        ),
        falls=(5, 6),
        histories="entities",
    ),
    # --- predictions
    Mutant(
        "a share misread",
        "3, a prediction",
        "The candidate answers exactly when the split hash lies below the share in force.",
        (Edit(SPLIT, "if drawn < rollout.share else", "if drawn < 100 * rollout.share else"),),
        falls=(14,),
        histories="calm",
    ),
    Mutant(
        "a shadow answers",
        "8, invariant 15",
        "Share 0 means none: in shadow the champion answers.",
        (Edit("services/registry/rollout.py", "Move(Phase.SHADOW, 0, 0.0,", "Move(Phase.SHADOW, 0, 0.3,"),),
        falls=(15,),
        histories="calm",
    ),
    Mutant(
        "one version's output under another's name",
        "3, a prediction",
        "A prediction names the outputs of every version in play, with the artifact that made each.",
        (
            Edit(
                "services/serving/prediction.py",
                "output = output_of(version.model, question.inputs)",
                "output = output_of(next(iter(versions.values())).model, question.inputs)",
            ),
        ),
        falls=(4,),
        histories="calm",
    ),
    Mutant(
        "the former champion is out of play",
        "4, rollout",
        "After a promotion the old champion stays in shadow for a while.",
        (
            Edit(
                "services/serving/loaded_models.py",
                "for number in state.in_play",
                "for number in state.in_play if number != state.former",
            ),
        ),
        falls=(4,),
        histories="calm",
    ),
    # --- outcomes
    Mutant(
        "a label joined twice",
        "8, invariant 19",
        "Each accepted label has one fate: used, superseded, late, or without a record.",
        (Edit(JOIN, "        if held is not deciding:\n", "        if held is not None:\n"),),
        falls=(19,),
        fast=1,
    ),
    Mutant(
        "a label that was late decides",
        "3, an outcome",
        "An outcome is decided by the newest label in time; a late one revises it.",
        (Edit(JOIN, "    return held.in_time and held.time_ms <= due_ms\n", "    return held.time_ms <= due_ms\n"),),
        falls=(19, "alike"),
        histories="lockstep",
    ),
    Mutant(
        "the older label decides",
        "3, an outcome",
        "Of several labels in time the newest decides.",
        (Edit(JOIN, "held.time_ms < rival.time_ms:\n", "held.time_ms > rival.time_ms:\n"),),
        falls=(19,),
    ),
    Mutant(
        "what a missing label means is never told",
        "8, invariant 6",
        "Scored = joined (with a label, or `absent`) + unlabelled + unmatured.",
        (Edit(JOIN, "        absent = rule.absent\n", "        absent = None\n"),),
        falls=(19,),
        histories="missing",
    ),
    Mutant(
        "what a missing label means is told too early",
        "3, an outcome",
        "An outcome falls due at t + matures_after: no label is missing before.",
        (
            Edit(
                JOIN,
                "        SetTimer(DUE, decides_ms),\n",
                "        SetTimer(DUE, decides_ms if rule.absent is None else max(time_ms, now_ms)),\n",
            ),
        ),
        falls=(19,),
        histories="missing",
    ),
    Mutant(
        "a record is forgotten before its labels have expired",
        "3, an outcome",
        "An outcome falls due at t + matures_after, and a label before expires_after revises it.",
        (
            Edit(
                JOIN,
                "        SetTimer(EXPIRE, max(time_ms + rule.expires_after, decides_ms)),\n",
                "        SetTimer(EXPIRE, decides_ms),\n",
            ),
        ),
        tests=("tests/unit/monitoring/test_label_join.py::test_a_late_label_never_decides_whenever_it_comes",),
    ),
    Mutant(
        "an outcome goes behind the watermark",
        "3, marks",
        "Watermark w promises that nothing earlier than w comes.",
        (
            Edit(
                JOIN,
                "return Publish(OUTCOMES.of(model), key, event, max(time_ms, now_ms), trace=trace)",
                "return Publish(OUTCOMES.of(model), key, event, time_ms, trace=trace)",
            ),
        ),
        falls=(7,),
        histories="calm",
    ),
    Mutant(
        "outcomes are decided as they come",
        "3, decisions in event-time order",
        "Outcomes are taken in the order of (event time, record id), however partitions and brokers interleave.",
        (
            Edit(
                "services/monitoring/judge.py",
                "return state.put(name, row_of(event, message.time_ms)), [SetTimer(name, message.time_ms)]",
                "return state.put(name, row_of(event, message.time_ms)), [SetTimer(name, context.watermark_ms)]",
            ),
            Edit(
                "services/monitoring/decided_order.py",
                '        name = f"{kind}:{record_id}"\n',
                '        name = f"{kind}:{len(self):09}:{record_id}"\n',
            ),
        ),
        falls=(19,),
    ),
    Mutant(
        "rows leave the buffer before they are archived",
        "3, ids and effects",
        "Segments cover fixed spans of a task's own count of records; what stands in none yet is kept.",
        (
            Edit(
                "shared/runtime/segments.py",
                "            self._drop(task, first)\n",
                "            self._drop(task, first + self._rows // 2)\n",
            ),
            Edit(
                "shared/runtime/segments.py",
                "        if len(rows) < self._rows or log_id is None:\n",
                "        if log_id is None:\n",
            ),
        ),
        falls=(10,),
        histories="free",
    ),
)
