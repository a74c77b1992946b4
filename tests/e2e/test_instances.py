"""Two instances of each service share its tasks, and take them over from each other: the decisions are those of one.

Killed is each time the instance that has the work; the other goes on with it, and gives it back. Two instances run on
the embedded broker and on Apache Kafka; the one that they are compared with, on the embedded broker.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.options import BrokerKind
from shared.contracts.services import SERVICES
from shared.contracts.topics import CONTROL, JOINS, RECORDS, SCORING
from shared.runtime.ownership import owners
from tests.e2e.disturbed_replay import MODEL, Course, Run, assert_as_undisturbed, assert_same, replayed
from tests.e2e.killer import Blow

TWO: dict[str, int] = dict.fromkeys(SERVICES, 2)


def with_the_work(service: str, topic: str) -> str:
    """The process of the two that owns the one partition of this topic."""
    [owner] = owners(topic, 1, ("0", "1"))
    return service if owner == "0" else f"{service}-{owner}"


FEATURES, MONITORING = (
    with_the_work("features", RECORDS.of("electricity").name),
    with_the_work("monitoring", JOINS.of(MODEL).name),
)
# Before the first model; the whole story takes longer.
SLICE = Course(120, (MODEL,), (Blow(48, (FEATURES,)), Blow(72, (MONITORING,))))
WHOLE = Course(
    480, (MODEL,),
    (
        Blow(72, (FEATURES,)),
        Blow(120, (MONITORING,)),
        Blow(200, (with_the_work("training", CONTROL.name),), at_work=True),
        Blow(340, (with_the_work("serving", SCORING.of(MODEL).name),)),
        Blow(364, (with_the_work("registry", CONTROL.name),)),
    ),
)  # fmt: skip
Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def both(course: Course, broker: BrokerKind, folder: Path, capsys: Capture, monkeypatch: Patch) -> tuple[Run, Run]:
    """With two instances of each service and the course's blows, each of which hits; and with one and no blow."""
    shared = replayed(course, folder / "two", broker, capsys, monkeypatch, TWO)
    alone = replayed(replace(course, blows=()), folder / "one", BrokerKind.EMBEDDED, capsys, monkeypatch)
    assert [hit.victims for hit in shared.hits] == [blow.victims for blow in course.blows]
    assert shared.violations == alone.violations == []
    assert_same(alone.predictions, shared.predictions)
    assert_same(alone.decisions, shared.decisions)
    return shared, alone


@pytest.mark.timeout(600)
@pytest.mark.parametrize("broker", BrokerKind)
def test_two_instances_of_each_service_say_the_same_as_one(
    broker: BrokerKind, tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    both(SLICE, broker, tmp_path, capsys, monkeypatch)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("broker", BrokerKind)
def test_two_instances_of_each_service_decide_as_one(
    broker: BrokerKind, tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    assert_as_undisturbed(*both(WHOLE, broker, tmp_path, capsys, monkeypatch))
