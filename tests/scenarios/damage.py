"""One good history, and damage to it: see `every_damage` for which invariant each breaks, and no other."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

import polars as pl
import zstandard

from deploy.simulation.memory_store import SimulatedStore
from deploy.simulation.platform import SimulatedPlatform
from shared.contracts import control as c
from shared.contracts import flow as f
from shared.contracts.envelope import Event, Mark, Message, encode, encode_mark
from shared.contracts.topics import FEATURES, INTAKE, OUTCOMES, PREDICTIONS, RECORDS, SCORING
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.step import Context, Output, Step
from shared.runtime.table_copies import TableCopies, TableRow, decoded
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.scenarios.evidence import Violation
from tests.scenarios.invariants import check
from tests.scenarios.replayed_tasks import MakeSteps, steps_of_all
from tests.scenarios.simulated import calm
from tests.scenarios.topic_history import CONTROL_TP, Read, TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS, T0_MS, VIEW

E = TypeVar("E", bound=Event)
# Its story: a first version, drift, a run on it, and a rollout through all steps. See `test_the_good_history_has_all`.
WORKLOAD = 2
FIRST_HOUR_MS = T0_MS + 3_600_000


def played() -> SimulatedPlatform:
    return calm(WORKLOAD)


@cache
def good() -> TopicHistory:
    return TopicHistory.of_memory(played().world.broker)


def files() -> Mapping[str, TaskFile]:
    return played().world.files


def decided(kind: type[E], number: int = 0, where: Callable[[E], bool] = lambda event: True) -> tuple[Read, E]:
    return [(read, event) for read, event in good().decided(kind) if where(event)][number]


def found(topic: str, kind: type[E], where: Callable[[E], bool] = lambda event: True) -> tuple[Read, E]:
    return next((read, event) for read, event in good().events(topic, kind) if where(event))


def changed(where: tuple[Read, Event], **fields: object) -> TopicHistory:
    read, event = where
    return good().with_event(read, event.model_copy(update=fields))


def numbers(violations: list[Violation]) -> set[int]:
    return {violation.number for violation in violations}


@dataclass(frozen=True)
class Damaged:
    """What the checker is given. `replay`: what is damaged shows only when tasks are replayed."""

    history: TopicHistory = field(default_factory=lambda: good())
    files: Mapping[str, TaskFile] | None = None
    steps: MakeSteps | None = None
    replay: bool = False
    artifacts: ArtifactStore | None = None

    def violations(self) -> list[Violation]:
        artifacts = self.artifacts or played().world.artifacts
        return check(self.history, artifacts, self.files or files(), replay=self.replay, steps=self.steps)


# --- the damage, by the number of the invariant that it breaks


def another_former() -> TopicHistory:
    return changed(decided(c.VersionPromoted), former=7)


def approved_another() -> TopicHistory:
    return changed(decided(c.VersionApproved, 0), version=77)


def another_artifact() -> TopicHistory:
    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, lambda made: bool(made.outputs))
    outputs = {n: out.model_copy(update={"artifact_sha256": "f" * 64}) for n, out in made.outputs.items()}
    return good().with_event(read, made.model_copy(update={"outputs": outputs}))


def another_output() -> TopicHistory:
    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, lambda made: bool(made.outputs))
    outputs = {n: out.model_copy(update={"output": (0.123,)}) for n, out in made.outputs.items()}
    return good().with_event(read, made.model_copy(update={"outputs": outputs}))


def windows_of_another() -> TopicHistory:
    return changed(found(FEATURES.of(VIEW).name, f.WindowsChanged), entity="somebody")


def a_record_that_was_never_there() -> TopicHistory:
    return changed(found(INTAKE.of(PAYMENTS).name, f.IntakeRecord), offset=99_999)


def a_duplicate_that_is_none() -> TopicHistory:
    """6: what came twice came under another id, of which nothing became."""
    topic, ids = INTAKE.of(PAYMENTS).name, set[str]()
    for read, taken in good().events(topic, f.IntakeRecord):
        if taken.record_id in ids:
            return good().with_event(read, taken.model_copy(update={"record_id": "another"}))
        ids.add(taken.record_id)
    raise AssertionError("nothing came twice")


def a_label_lost() -> TopicHistory:
    """6: scored, due, and never matured."""
    topic = OUTCOMES.of(MODEL).name
    read, _ = found(topic, f.OutcomeMatured, lambda m: m.label_id is None)
    return good().with_event(read, f.EventBuried())


def control_goes_back() -> TopicHistory:
    reads = [read for read, _ in good().events(SCORING.of(MODEL).name, f.InputsComputed)]
    read = next(read for read in reversed(reads) if read.message.control > 3)
    return good().with_event(read, read.message.event, control=1)


def behind_its_own_mark() -> TopicHistory:
    """7: dated before what its task had promised, though not late."""
    reads = [(read, event) for read, event in good().events(OUTCOMES.of(MODEL).name, f.OutcomeScored)]
    read, event = reads[-1]
    return good().with_event(read, event, time_ms=1_000)


def a_watermark_goes_back() -> TopicHistory:
    """7: a mark somewhere in the middle says less than its task had promised behind an earlier number."""
    tp = good().partitions(OUTCOMES.of(MODEL).name)[0]
    marks = [(record, entry) for record, entry in good().entries(tp) if isinstance(entry, Mark)]
    middle = marks[len(marks) // 2 :]
    _, before = middle[0]
    record, mark = next((r, m) for r, m in middle if m.source == before.source and m.sequence > before.sequence)
    return good().with_entry(record, encode_mark(replace(mark, watermark_ms=before.watermark_ms - 1)))


def an_event_that_no_replay_derives() -> Damaged:
    """7: a row of a table, which nothing else looks at so closely."""
    read, row = found(FEATURES.of(VIEW).name, f.WindowsChanged, lambda row: bool(row.state))
    return Damaged(good().with_event(read, row.model_copy(update={"state": {"other": 1}})), replay=True)


def state_of_another_position() -> Damaged:
    """8: a file whose position was stored apart from its state."""
    task_id = next(t for t in files() if t.startswith("features/compute/"))
    copy = sqlite3.connect(":memory:", isolation_level=None)
    files()[task_id].connection.backup(copy)
    copy.execute("UPDATE meta SET value = value - 40 WHERE name = 'position'")
    return Damaged(files={**files(), task_id: TaskFile(task_id, None, copy)}, replay=True)


def a_step_with_a_memory_of_its_own() -> Damaged:
    """9: what it derives depends on when its process began, as no file and no log says."""
    made = steps_of_all(good(), played().world.artifacts)

    def steps() -> Mapping[str, Step]:
        of_all = dict(made())
        step, seen = of_all["features/compute"], list[str]()
        handler = step.events[f.RecordAccepted]

        def forgetful(state: object, message: Message, context: Context) -> tuple[object, list[Output]]:
            seen.append(message.id)
            after, outputs = handler(state, message, context)
            is_first = len(seen) == 1 and message.time_ms > FIRST_HOUR_MS
            return after, [] if is_first else list(outputs)

        of_all["features/compute"] = replace(step, events={**step.events, f.RecordAccepted: forgetful})
        return of_all

    return Damaged(steps=steps, replay=True)


def an_input_from_the_future() -> TopicHistory:
    read, computed = found(SCORING.of(MODEL).name, f.InputsComputed)
    name = f"{VIEW}.count"
    return good().with_event(read, computed.model_copy(update={"inputs": {**computed.inputs, name: 41.0}}))


def archive_written_again(change: Callable[[pl.DataFrame], pl.DataFrame]) -> TopicHistory:
    """10: the first segment of records holds other rows, under a reference that fits them; the topic is as it was."""
    read, segment = decided(c.SegmentWritten, 0, lambda s: (s.kind, s.subject) == ("records", PAYMENTS))
    artifacts = played().world.artifacts
    parquet = io.BytesIO()
    change(pl.read_parquet(io.BytesIO(artifacts.get(segment.segment)))).write_parquet(parquet)
    log_id = good().newest.log_id or ""
    other = artifacts.put(log_id, "segments/records", parquet.getvalue(), ".parquet")
    return changed((read, segment), segment=other)


def another_amount_archived() -> TopicHistory:
    value = pl.col("value").str.replace(r'"amount":[^,}]*', '"amount":777777.0')
    return archive_written_again(lambda rows: rows.with_columns(value))


def another_position_archived() -> TopicHistory:
    return archive_written_again(lambda rows: rows.with_columns(pl.col("topic_offset").reverse()))


def archive_of_other_bytes() -> TopicHistory:
    """10: what the store holds is not what the event says was written."""
    read, segment = decided(c.SegmentWritten, 0, lambda s: (s.kind, s.subject) == ("records", PAYMENTS))
    return changed((read, segment), segment=segment.segment.model_copy(update={"sha256": "f" * 64}))


def two_runs_of_one_drift() -> TopicHistory:
    _, run = decided(c.RunRequested, 0, lambda run: run.drift_id is not None)
    return good().with_more(CONTROL_TP, [encode(b.message(run.model_copy(update={"run_id": "another"})))])


def a_run_in_a_run() -> TopicHistory:
    """12: a request for another run stands where the second one says that it has begun."""
    _, run = decided(c.RunRequested, 1)
    started, _ = decided(c.RunStarted, 1)
    return good().with_event(started, run.model_copy(update={"run_id": "another", "drift_id": None}))


def a_version_of_no_run() -> TopicHistory:
    return changed(decided(c.VersionRegistered, 1), run_id="another")


def two_versions_of_one_run() -> TopicHistory:
    first, second = decided(c.VersionRegistered, 0), decided(c.VersionRegistered, 1)
    return changed(second, run_id=first[1].run_id)


def answered_against_the_split() -> TopicHistory:
    def is_on_a_step(made: f.PredictionMade) -> bool:
        return made.share > 0 and made.answered_by == made.champion

    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, is_on_a_step)
    return good().with_event(read, made.model_copy(update={"answered_by": made.candidate}))


def promoting_verdict() -> tuple[Read, c.VerdictReached]:
    promoted = decided(c.VersionPromoted, 0, lambda promoted: promoted.by == "rollout")[1]
    return decided(c.VerdictReached, 0, lambda verdict: verdict.verdict_id == promoted.verdict_id)


def promoted_on_nothing() -> TopicHistory:
    return changed(promoting_verdict(), outcomes=0)


def a_share_in_the_shadow() -> TopicHistory:
    """15: a step with a share of the traffic calls itself the shadow."""
    return changed(decided(c.RolloutAdvanced, -1, lambda to: to.phase is c.Phase.STEP), phase=c.Phase.SHADOW)


def behind_its_deadline() -> TopicHistory:
    read, started = decided(c.RolloutStarted, 0)
    return changed((read, started), deadline_ms=read.message.time_ms + 1)


def a_rollout_without_an_end() -> TopicHistory:
    """17: its deadline is long past at the end of the log."""
    _, last = decided(c.VersionPromoted, -1)
    started = c.RolloutStarted(rollout_id="endless", model=MODEL, candidate=last.version, champion=None, deadline_ms=1)
    return good().with_more(CONTROL_TP, [encode(b.message(started))])


def back_without_approval() -> TopicHistory:
    """18: rolled back at the end of the log, and there again."""
    _, last = decided(c.VersionPromoted, -1)
    assert last.former is not None
    away = b.rolled_back(model=MODEL, version=last.former, former=last.version)
    back = b.rolled_back(model=MODEL, version=last.version, former=last.former)
    return good().with_more(CONTROL_TP, [encode(b.message(event)) for event in (away, back)])


def a_label_misread() -> TopicHistory:
    topic = OUTCOMES.of(MODEL).name
    read, matured = found(topic, f.OutcomeMatured, lambda event: event.status is f.LabelStatus.LABELLED)
    return changed((read, matured), label=1.0 - float(matured.label or 0.0))


def a_missing_label_taken_for_one() -> TopicHistory:
    topic = OUTCOMES.of(MODEL).name
    missing = found(topic, f.OutcomeMatured, lambda m: m.label_id is None and m.prediction.rollout_id is None)
    return changed(missing, status=f.LabelStatus.ABSENT, label=0.0)


def an_outcome_before_it_is_due() -> TopicHistory:
    """Its own prediction is said to be younger than it is."""
    read, matured = found(OUTCOMES.of(MODEL).name, f.OutcomeMatured, lambda event: event.label_id is None)
    return changed((read, matured), scored_ms=matured.scored_ms + 1)


def a_revision_of_what_was_never_said() -> TopicHistory:
    revised = found(OUTCOMES.of(MODEL).name, f.OutcomeRevised)
    return changed(revised, before=7.0)


def a_label_used_twice() -> TopicHistory:
    topic = OUTCOMES.of(MODEL).name
    used = [(r, m) for r, m in good().events(topic, f.OutcomeMatured) if m.label_id is not None]
    return good().with_event(used[1][0], used[1][1].model_copy(update={"label_id": used[0][1].label_id}))


def a_stranger_with_a_number() -> TopicHistory:
    """20: an old owner says something else under a number that was taken."""
    read, accepted = found(RECORDS.of(PAYMENTS).name, f.RecordAccepted)
    message = read.message._replace(event=accepted.model_copy(update={"late": not accepted.late}))
    return good().with_more(read.tp, [encode(message)])


def a_stranger() -> TopicHistory:
    """20: a task that may not write this log."""
    tp = good().partitions(RECORDS.of(PAYMENTS).name)[0]
    message = good().accepted(tp)[0].message._replace(source="features/compute/other/0", sequence=1, id="a" * 36)
    return good().with_more(tp, [encode(message._replace(event=f.EventBuried()))])


def a_copy_with_another_row() -> Damaged:
    """9: the newest copy of a table holds something else, under a reference that fits it."""
    read, copied = decided(c.TableCopied, -1)
    artifacts, log_id = played().world.artifacts, good().newest.log_id or ""
    rows = decoded(artifacts.get(copied.table))
    entity, row = next(iter(rows.items()))
    other = TableCopies(artifacts, log_id).keep("damage", 0, 0, {**rows, entity: TableRow(row.state, row.time_ms + 1)})
    return Damaged(changed((read, copied), table=other), replay=True)


def a_copy_of_another_position() -> Damaged:
    """9: it says that it goes further than it does, so its readers skip an entry."""
    read, copied = decided(c.TableCopied, 0)
    further = {task: sequence + 1 for task, sequence in copied.sequences.items()}
    return Damaged(changed((read, copied), sequences=further), replay=True)


class OtherCopy(SimulatedStore):
    """The store of the good history, in which one object is another one."""

    def __init__(self, uri: str, data: bytes) -> None:
        super().__init__(played().world.artifacts)
        self._uri, self._data = uri, data

    def read(self, uri: str) -> bytes:
        return self._data if uri == self._uri else super().read(uri)


def a_copy_of_a_file_that_is_no_replay() -> Damaged:
    """9: whoever goes on from it has another idea of what its input has shown."""
    artifacts, log_id = played().world.artifacts, good().newest.log_id or ""
    task_id = next(task for task in files() if task.startswith("features/compute/"))
    uri = artifacts.names(Copies(artifacts, log_id).folder(task_id))[-1]
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.deserialize(zstandard.decompress(artifacts.read(uri)))
    copy.execute("UPDATE meta SET value = value - 1 WHERE name = 'watermark_ms'")
    return Damaged(artifacts=OtherCopy(uri, zstandard.compress(copy.serialize())), replay=True)
