"""Which label decides, and what a head may promise, are worked out once more from the topics: both fail on damage."""

from __future__ import annotations

from dataclasses import replace

from shared.contracts.envelope import Mark, encode_mark
from shared.contracts.flow import IntakeRecord, LabelStatus, OutcomeMatured, PredictionMade
from shared.contracts.topics import INTAKE, OUTCOMES, PREDICTIONS
from tests.scenarios.damage import found, good, played
from tests.scenarios.decided_labels import the_newest_in_time_decides
from tests.scenarios.evidence import Evidence
from tests.scenarios.head_promises import heads_promise_what_they_have_seen
from tests.scenarios.prediction_invariants import scoring_again
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS


def labels(history: TopicHistory) -> list[str]:
    return list(the_newest_in_time_decides(Evidence(history)))


def promises(history: TopicHistory) -> list[str]:
    return list(heads_promise_what_they_have_seen(Evidence(history)))


def test_the_good_history_keeps_both() -> None:
    assert labels(good()) == []
    assert promises(good()) == []


def test_an_outcome_that_another_label_decided_is_told() -> None:
    def labelled(matured: OutcomeMatured) -> bool:
        return matured.status is LabelStatus.LABELLED

    read, matured = found(OUTCOMES.of(MODEL).name, OutcomeMatured, labelled)
    for label_id in ("another", None):
        [said] = labels(good().with_event(read, matured.model_copy(update={"label_id": label_id})))
        assert f"was decided by label {label_id}, and {matured.label_id} is the newest" in said


def test_an_outcome_whose_label_was_overlooked_is_told() -> None:
    read, matured = found(OUTCOMES.of(MODEL).name, OutcomeMatured, lambda m: m.status is LabelStatus.UNLABELLED)
    [said] = labels(good().with_event(read, matured.model_copy(update={"label_id": "nobody's"})))
    assert said.endswith("and None is the newest")


def test_a_version_in_play_without_an_output_is_told() -> None:
    """4."""

    def in_shadow(made: PredictionMade) -> bool:
        return len(made.outputs) == 2

    read, made = found(PREDICTIONS.of(MODEL).name, PredictionMade, in_shadow)
    (kept, output), (missing, _) = made.outputs.items()
    history = good().with_event(read, made.model_copy(update={"outputs": {kept: output}}))
    [said] = scoring_again(Evidence(history, played().world.artifacts))
    assert f"version {missing}, which was in play, has no output" in said


def test_a_head_that_promises_what_it_has_not_seen_is_told() -> None:
    """A mark a minute ahead of all that stood in the partition before the next record."""
    history = good()
    tp = history.partitions(INTAKE.of(PAYMENTS).name)[0]
    entries = list(history.entries(tp))
    at, record, mark = next((n, r, e) for n, (r, e) in enumerate(entries) if isinstance(e, Mark) and e.sequence > 9)
    ahead = replace(mark, watermark_ms=mark.watermark_ms + 60_000)
    source = mark.source
    assert any(
        not isinstance(e, Mark) and e.source == source and isinstance(e.event, IntakeRecord) for _, e in entries[at:]
    )
    said = promises(history.with_entry(record, encode_mark(ahead)))
    assert said
    assert all(text.startswith(f"{source} promised {ahead.watermark_ms}") for text in said)
