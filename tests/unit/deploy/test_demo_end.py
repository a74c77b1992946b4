"""`headrace demo` ends with 0 exactly if nothing of its story is missing, and names what is.

Platform, stage and HTTP client stand in here: they give the events and answers that a test wants. What is missing of
them, what is printed and the exit code are the demo's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import pytest

from deploy.local import demo
from deploy.local.demo_quality import Quality
from deploy.local.demo_story import PREDICTIONS_ASKED
from services.console.cli import main
from shared.contracts import control as c
from shared.contracts.envelope import Event, Message
from shared.runtime.kafka_settings import KafkaSettings
from tests import builders as b


@dataclass
class World:
    """What the demo meets: decided events, outcomes, and what the HTTP client was answered."""

    decided: Sequence[Event] = ()
    outcomes: Sequence[Event] = ()
    asked: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Ends:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing has begun."""


class Platform(Ends):
    def __init__(self, *_: object, **__: object) -> None:
        """Nothing is started."""

    urls: Mapping[str, str] = {"serving": "http://127.0.0.1:9"}
    kafka = KafkaSettings(bootstrap="127.0.0.1:9")

    def raise_if_failed(self) -> None:
        """All is well."""


class Client(Ends):
    def __init__(self, asked: Mapping[str, Any]) -> None:
        versions = [[1, PREDICTIONS_ASKED]]
        self.count = {"asked": PREDICTIONS_ASKED, "failed": 0, "failures": [], "versions": versions, **asked}

    def go(self) -> None:
        """Everything has been asked already."""

    def stop(self) -> dict[str, Any]:
        return self.count


Took = Callable[[int, Message], None]


class Stage:
    def __init__(self, _broker: object, _settle: object, _model: str, on_control: Took, on_outcome: Took) -> None:
        self.on_control, self.on_outcome = on_control, on_outcome

    def apply(self, published: object) -> None:
        """The definitions are in force."""

    def close(self) -> None:
        """Nothing is open."""


Ran = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ran:
    """Runs the command with these options in this world: its exit code, and the object that it printed."""

    def run(world: World, *options: str) -> tuple[int, dict[str, Any]]:
        def play(stage: Stage, _script: object, _story: object, sent: Callable[[int], None], _matures: int) -> None:
            sent(len(world.outcomes))
            for event in world.outcomes:
                stage.on_outcome(0, b.message(event))
            for position, event in enumerate(world.decided):
                stage.on_control(position, b.message(event))

        def client(_url: str, _seed: int, _rate: float) -> Client:
            return Client(world.asked)

        monkeypatch.setattr(demo, "LocalPlatform", Platform)
        monkeypatch.setattr(demo, "Asking", client)
        monkeypatch.setattr(demo, "Stage", Stage)
        monkeypatch.setattr(demo, "play", play)
        monkeypatch.setattr(demo, "ASKS_ON_FOR_S", 0.0)
        code = main(["demo", "--json", *options])
        return code, json.loads(capfd.readouterr().out)

    return run


def ended(code: int, result: Mapping[str, Any]) -> list[str]:
    """What is missing, said alike by exit code, `whole` and `missing`."""
    assert (code, result["whole"]) == ((1, False) if result["missing"] else (0, True))
    return result["missing"]


FIRST = b.promoted(1)
SECOND = b.promoted(2, former=1, rollout_id="o2", verdict_id="v1")
HEALED = (
    FIRST,
    b.drift(),
    b.run_requested(run_id="r2", reason=c.RunReason.DRIFT, drift_id="d1"),
    b.run_finished(run_id="r2"),
    b.registered(2),
    b.rollout_advanced(),
    b.verdict(),
    b.rollout_advanced(phase=c.Phase.STEP, step=1, share=0.25),
    SECOND,
)
BOTH = {"versions": [[1, 3_000], [2, 2_000]]}


def answers(value: float, record_id: str, champion: int) -> Event:
    """An answer to a fraud."""
    output = {champion: b.prediction(value).outputs[1]}
    made = {"record_id": record_id, "champion": champion, "answered_by": champion, "outputs": output}
    return b.matured(prediction=b.prediction(value, **made))


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> Sequence[Event]:
    """Outcomes of good answers before the drift, bad ones after it, and good ones after the promotion."""

    def judged(clip: float, _drifted: frozenset[str]) -> Quality:
        return Quality(clip, frozenset({"drifted"}))

    monkeypatch.setattr(demo, "Quality", judged)
    return (answers(0.9, "t1", 1), answers(0.1, "drifted", 1), answers(0.9, "drifted", 2))


def test_a_whole_story_ends_with_0(ends: Ran, better: Sequence[Event]) -> None:
    code, result = ends(World(HEALED, better, BOTH))
    assert ended(code, result) == []
    assert [event["event"] for event in result["events"]] == [event.ce_type for event in HEALED]


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (HEALED[0], "no first model went live"),
        (HEALED[1], "version 2 does not come from a run on a drift"),
        (HEALED[2], "version 2 does not come from a run on a drift"),
        (HEALED[4], "version 2 does not come from a run on a drift"),
        (HEALED[5], "version 2 was promoted without shadow"),
        (HEALED[6], "version 2 was promoted without a verdict"),
        (HEALED[7], "version 2 was promoted without a canary step"),
        (HEALED[8], "no retrained version was promoted"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_any_event_that_is_missing_ends_it_with_1(
    without: Event, said: str, ends: Ran, better: Sequence[Event]
) -> None:
    decided = tuple(event for event in HEALED if event is not without)
    assert said in ended(*ends(World(decided, better, BOTH)))


def test_a_promotion_that_made_nothing_better_ends_it_with_1(ends: Ran, better: Sequence[Event]) -> None:
    worse = (*better[:2], answers(0.05, "drifted", 2))
    [lack] = ended(*ends(World(HEALED, worse, BOTH)))
    assert lack.startswith("log loss after the promotion")


@pytest.mark.parametrize(
    ("asked", "lack"),
    [
        ({}, None),
        ({"asked": 4_999}, "4999 predictions were asked for over HTTP, 5000 are due"),
        (
            {"failed": 1, "failures": ["503"]},
            "1 of 5000 HTTP predictions failed, the first with: 503",
        ),
        ({"versions": []}, "the HTTP client was never answered by version 1"),
    ],
)
def test_what_the_http_client_lacks_ends_it_with_1(asked: Mapping[str, Any], lack: str | None, ends: Ran) -> None:
    assert ended(*ends(World((FIRST,), asked=asked), "--no-drift")) == ([] if lack is None else [lack])


def test_each_story_has_its_own_wants(ends: Ran) -> None:
    calm, swapped = World((FIRST,)), World((FIRST, SECOND), asked=BOTH)
    assert ended(*ends(swapped, "--no-drift")) == ["version 2 was promoted, and nothing had changed"]
    assert ended(*ends(calm, "--bad-candidate")) == ["no candidate was fitted to the wrong labels"]
    stopped = World((FIRST, b.registered(2, gate_passed=False, reason="worse")))
    assert ended(*ends(stopped, "--bad-candidate")) == []
    assert "no drift was detected" in ended(*ends(calm))
