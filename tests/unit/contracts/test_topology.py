"""The tasks that definitions call for."""

from __future__ import annotations

import itertools
from itertools import chain

import pytest

from shared.contracts.stages import entity_subject
from shared.contracts.topics import CONTROL, ENTITY, FEATURES
from shared.contracts.topology import NO_DEFINITIONS, Definitions, clock_of
from tests import builders as b

FIELDS = b.source().model_dump(mode="json")["fields"]
SECOND = b.model(name="card_fraud_every", retrain={"policy": "every", "rows": 500})
# Category comes second on the way, for its view was declared first.
BY_OTHERS = (
    b.view(name="category_activity", entity="category"),
    b.view(name="shop_activity", entity="transaction_id"),
    b.model(name="by_category", inputs={"views": ["category_activity", b.VIEW]}),
    b.model(name="by_all", inputs={"views": ["shop_activity", b.VIEW, "category_activity"]}),
)
SHAPES = [
    NO_DEFINITIONS,
    b.definitions(),
    b.definitions(SECOND),
    b.definitions(b.source(partitions=4), b.label_source(partitions=3), SECOND),
    b.definitions(b.source(partitions=4), *BY_OTHERS),
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


# --- views by an entity that is not the key


def computing(definitions: Definitions) -> dict[str, list[str]]:
    """By the log that a step of features reads: the logs that it writes."""
    return {
        task.topic: [output.topic for output in task.outputs]
        for task in definitions.tasks
        if (task.step, task.partition) == ("compute", 0)
    }


def test_a_record_goes_from_entity_to_entity_and_each_model_is_scored_where_it_knows_its_views() -> None:
    assert computing(b.definitions(*BY_OTHERS)) == {
        "records.transactions.v1": [
            "scoring.card_fraud.v1", "features.card_activity.v1", "entity.transactions-category.v1",
        ],
        "entity.transactions-category.v1": [
            "scoring.by_category.v1", "features.category_activity.v1", "entity.transactions-transaction_id.v1",
        ],
        "entity.transactions-transaction_id.v1": ["scoring.by_all.v1", "features.shop_activity.v1"],
    }  # fmt: skip


def test_a_source_whose_views_are_by_its_key_has_no_further_log() -> None:
    assert list(computing(b.definitions(SECOND))) == ["records.transactions.v1"]


def test_every_step_that_re_keys_may_write_every_partition() -> None:
    definitions = b.definitions(b.source(partitions=3), *BY_OTHERS)
    own = {f"features/compute/records.transactions.v1/{p}" for p in range(3)}
    by_category = {f"features/compute/entity.transactions-category.v1/{p}" for p in range(3)}
    for p in range(3):
        assert definitions.writers["entity.transactions-category.v1", p] == own
        assert definitions.writers["scoring.by_category.v1", p] == by_category
        assert definitions.writers["scoring.card_fraud.v1", p] == {f"features/compute/records.transactions.v1/{p}"}


def test_a_view_more_adds_to_the_end_of_the_way_and_takes_nothing_away() -> None:
    """What is on its way meanwhile finds the log that it was sent to, and no other writer joins."""
    before = b.definitions(*BY_OTHERS)
    more = b.view(name="aaa_first_by_name", entity="brand")
    after = before.with_applied([b.source(fields={**FIELDS, "brand": "string"}), more])
    new = {task.id: task for task in after.tasks}
    for task in before.tasks:
        assert set(task.outputs) <= set(new[task.id].outputs)
    assert all(after.writers[where] == tasks for where, tasks in before.writers.items())
    assert after.ways[b.SOURCE][-1].entity == "brand"


def test_views_by_one_entity_share_its_log() -> None:
    second = b.view(name="category_spend", entity="category")
    definitions = b.definitions(*BY_OTHERS, second)
    assert len(definitions.ways[b.SOURCE]) == 3
    assert "features.category_spend.v1" in computing(definitions)["entity.transactions-category.v1"]


@pytest.mark.parametrize(
    ("source", "field", "said"),
    [
        ("orders", "shop_id", "orders-shop_id"),
        ("orders", "Händler Nr", "orders-H-c3-a4ndler-20Nr"),
        ("orders", "a-b", "orders-a-2db"),
    ],
)
def test_a_log_is_named_for_source_and_field_in_what_a_topic_may_be_called(source: str, field: str, said: str) -> None:
    assert entity_subject(source, field) == said


def test_no_two_entities_have_one_log() -> None:
    """Kafka holds `.` and `_` for the same in names of topics."""
    pairs = itertools.product(
        ("card", "card_payments", "card_payments_a"), ("id", "payments_id", "a_id", "a-id", "a id")
    )
    names = [ENTITY.of(entity_subject(source, field)).name.replace(".", "_") for source, field in pairs]
    assert len(set(names)) == 15
