"""The tasks that definitions call for."""

from __future__ import annotations

from itertools import chain

import pytest

from shared.contracts.topics import CONTROL, FEATURES
from shared.contracts.topology import NO_DEFINITIONS, Definitions, clock_of
from tests import builders as b

SECOND = b.model(name="card_fraud_every", retrain={"policy": "every", "rows": 500})
SHAPES = [
    NO_DEFINITIONS,
    b.definitions(),
    b.definitions(SECOND),
    b.definitions(b.source(partitions=4), b.label_source(partitions=3), SECOND),
]


@pytest.mark.parametrize("definitions", SHAPES)
def test_every_internal_log_that_a_task_reads_has_writers(definitions: Definitions) -> None:
    users = {source.topic_name for source in definitions.sources.values()}
    for task in definitions.tasks:
        if task.topic not in users and task.topic != CONTROL.name:
            assert definitions.writers[task.topic, task.partition], task.id


@pytest.mark.parametrize("definitions", SHAPES)
def test_every_partition_of_a_log_has_writers_or_none_has(definitions: Definitions) -> None:
    for topic in {topic for topic, _ in definitions.writers}:
        assert {p for t, p in definitions.writers if t == topic} == set(range(definitions.partitions[topic]))


@pytest.mark.parametrize("definitions", SHAPES)
def test_ids_are_unique_and_name_step_and_partition(definitions: Definitions) -> None:
    ids = [task.id for task in definitions.tasks]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("definitions", SHAPES)
def test_only_head_steps_read_what_users_publish(definitions: Definitions) -> None:
    users = {source.topic_name for source in definitions.sources.values()}
    assert {task.topic for task in definitions.tasks if task.head} == users
    assert all(task.topic not in users for task in definitions.tasks if not task.head)


def test_a_model_more_changes_no_other_task() -> None:
    before, after = b.definitions(), b.definitions(SECOND)
    old, new = {task.id: task for task in before.tasks}, {task.id: task for task in after.tasks}
    assert old.keys() < new.keys()
    assert {id_ for id_ in new if id_ not in old} == {task.id for task in after.tasks if task.subject == SECOND.name}
    for id_, task in old.items():
        assert set(task.outputs) <= set(new[id_].outputs)
    assert all(before.writers[where] == after.writers[where] for where in before.writers)


def test_a_step_that_keeps_the_key_writes_its_own_partition_alone() -> None:
    definitions = b.definitions(b.source(partitions=4))
    for task in definitions.tasks:
        for output in task.outputs:
            expected = [task.partition] if output.keeps else list(range(output.partitions))
            assert list(task.targets(output)) == expected
    joins = definitions.writers["joins.card_fraud.v1", 2]
    assert joins == {
        *(f"monitoring/key_predictions/predictions.card_fraud.v1/{p}" for p in range(4)),
        "monitoring/key_labels/records.chargebacks.v1/0",
    }


def test_marks_stand_in_no_table_and_not_in_the_control_log() -> None:
    marked = set(chain.from_iterable(b.definitions().writers))
    assert not {CONTROL.name, FEATURES.of(b.VIEW).name, "records.rejected.v1"} & marked


def test_partitions_follow_the_scored_source() -> None:
    partitions = b.definitions(b.source(partitions=4, topic="payments")).partitions
    assert partitions["payments"] == partitions["joins.card_fraud.v1"] == partitions["features.card_activity.v1"] == 4
    assert partitions["outcomes.card_fraud.v1"] == partitions["control.v1"] == partitions["records.chargebacks.v1"] == 1
    assert "transactions" not in partitions


def test_each_clock_has_a_name() -> None:
    assert clock_of(b.definitions(), b.SOURCE) == b.SOURCE
    assert clock_of(b.definitions(b.source(time={"field": "at"})), b.SOURCE) == "wall"
