"""A topic with another partition count than its definition says: what waits, how often it is looked for, its mend."""

from __future__ import annotations

from contextlib import suppress

import pytest

from shared.runtime.log import TopicMissing
from tests import builders as b
from tests.unit.runtime.process_bench import TASK, Bench
from tests.unit.runtime.toy_task import JOINS, OUTCOMES_TOPIC, predicted


def founded(wrong: str) -> Bench:
    """With three partitions of this topic, where one is defined."""
    bench = Bench()
    bench.broker.admin().create(wrong, 3, {})
    bench.found()
    return bench


def test_a_topic_with_another_partition_count_stops_none_but_the_tasks_that_write_it() -> None:
    bench = founded(OUTCOMES_TOPIC.name)
    bench.turn(5)
    assert bench.process.tasks
    assert TASK not in bench.process.tasks
    assert "has 3 partitions" in bench.process.awaited[TASK]


@pytest.mark.parametrize("topic", [OUTCOMES_TOPIC.name, JOINS])
def test_once_a_topic_with_another_partition_count_is_deleted_it_is_made_anew_and_whoever_waited_begins(
    topic: str,
) -> None:
    bench = founded(topic)
    bench.turn(5)
    assert any("has 3 partitions" in why for why in bench.process.awaited.values())
    bench.broker.delete(topic)
    for _ in range(60):
        with suppress(TopicMissing):  # as the driver does: what it reads may be its own to make
            bench.turn(1)
    assert bench.broker.admin().partitions(topic) == 1
    assert {spec.id for spec in b.definitions().tasks if spec.service == "monitoring"} == bench.process.tasks.keys()
    assert not bench.process.awaited
    bench.put(predicted(1))
    bench.turn(5)
    assert bench.process.tasks[TASK].position == 1


def test_what_is_wrong_is_told_once_and_looked_for_less_and_less(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench, asked = founded(OUTCOMES_TOPIC.name), list[str]()
    partitions = bench.process.admin.partitions

    def noted(topic: str) -> int | None:
        asked.append(topic)
        return partitions(topic)

    monkeypatch.setattr(bench.process.admin, "partitions", noted)
    bench.turn(200)  # ten seconds
    asked.clear()
    capsys.readouterr()
    bench.turn(200)
    assert set(asked) == {OUTCOMES_TOPIC.name}, "of what is right nobody asks again"
    assert 8 <= len(asked) <= 12, "once a second, however many tasks write it"
    assert "has 3 partitions" not in capsys.readouterr().out


def test_a_topic_is_right_or_wrong_whatever_else_a_task_writes() -> None:
    bench = founded(OUTCOMES_TOPIC.name)
    bench.turn(5)
    written = {output.topic for spec in b.definitions().tasks if spec.id == TASK for output in spec.outputs}
    assert bench.process.topics.wrong.keys() == {OUTCOMES_TOPIC.name}
    assert written - bench.process.topics.there == {OUTCOMES_TOPIC.name}
