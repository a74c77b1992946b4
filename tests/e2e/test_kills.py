"""kill -9 of every service during a replay, and of all at once, changes no count, no decision and no prediction.

A replay over Apache Kafka, in which each service is killed with work in hand, is compared with an undisturbed one over
the embedded broker. Of all seven at once not all can have some (see `Blow`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local import replay
from deploy.local.options import BrokerKind, ReplayOptions
from deploy.local.platform import LocalPlatform
from deploy.local.platform_environment import START_ORDER
from shared.contracts.control import RunStarted
from shared.contracts.envelope import Message
from tests.e2e.decided import Said, decisions, predictions, without_facts
from tests.e2e.evidence_of_run import gathered
from tests.e2e.killer import Blow, Hit, Killer, telling
from tests.scenarios.topic_history import CONTROL_TP, TopicHistory
from tests.shared_data import shared_file

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "electricity" / "definitions.yaml"
ALL = tuple(START_ORDER)
MODEL = "price_up_evidence"
# So that a first version, a drift, a second version and its rollout fit into a few hundred rows.
EARLIER = {
    "minimum_rows: 2000": "minimum_rows: 120",
    "rows: 2000}": "rows: 400}",
    "expected_run_length: 100000": "expected_run_length: 200",
    "horizon: 5000, cost: 20, cooldown: 5d": "horizon: 1000, cost: 5, cooldown: 24h",
    "alpha: 0.05, deadline: 30d, watch: 5d": "alpha: 0.3, deadline: 4d, watch: 1d",
}


@dataclass(frozen=True)
class Course:
    """A replay of the file's first `rows`, of these models, and who is killed when."""

    rows: int
    models: tuple[str, ...]
    blows: tuple[Blow, ...]
    block: int = 24


@dataclass(frozen=True)
class Run:
    """What came of a replay."""

    report: dict[str, Any]
    decisions: Said
    predictions: Said
    hits: list[Hit]
    violations: list[str]
    fits: dict[str, list[int]]


# The first fits are at rows 240 and 340 or so, the third at 430; its rollout ends at row 500.
SHORT = Course(
    480, (MODEL,),
    (
        Blow(24, ("ingestion",)), Blow(72, ("features",)), Blow(120, ("console",)), Blow(168, ("monitoring",)),
        Blow(200, ("training",), at_work=True), Blow(340, ("serving",)), Blow(364, ("registry",)), Blow(388, ALL),
    ),
)  # fmt: skip
LONG = Course(
    3_000, ("price_up_never", "price_up_every", MODEL),
    (
        *(Blow(96 + 240 * n, (victim,)) for n, victim in enumerate(ALL)),
        Blow(1_780, ("training",), at_work=True),
        Blow(1_800, ALL),
        *(Blow(1_900 + 120 * n, (victim,)) for n, victim in enumerate(reversed(ALL))),
        Blow(2_850, ALL),
    ),
    block=48,
)  # fmt: skip


def definitions(folder: Path, models: tuple[str, ...]) -> Path:
    """The example's sources, replay and these of its models."""
    text = EXAMPLE.read_text()
    for before, after in EARLIER.items():
        assert before in text, f"{EXAMPLE} no longer says {before}"
        text = text.replace(before, after)
    documents = text.split("\n---\n")
    kept = [d for d in documents if "kind: Model" not in d or any(f"name: {name}\n" in d for name in models)]
    file = folder / "definitions.yaml"
    file.write_text("\n---\n".join(kept))
    return file


def replayed(
    course: Course,
    folder: Path,
    broker: BrokerKind,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Replay it in lockstep, with kills over Apache Kafka and without over the embedded broker."""
    data, kills = folder / broker.value, broker is BrokerKind.KAFKA
    file, declared = shared_file("electricity.csv"), definitions(folder, course.models)
    with LocalPlatform(data, broker=broker, any_ports=True) as platform:
        killer = Killer(platform, "electricity/0", course.blows if kills else ())
        monkeypatch.setattr(replay, "Settling", telling(killer))
        killer.start()
        options = ReplayOptions(
            declared, file, limit=course.rows, block=course.block, json=True, data=data, console=platform.console
        )
        capsys.readouterr()
        status = replay.run_replay(options)
        killer.stop()
        report = orjson.loads(capsys.readouterr().out)
        evidence = gathered(data)
    assert status == 0, report
    history = evidence.history
    return Run(report, decisions(history), predictions(history), killer.hits, evidence.violations(), fits(history))


def fits(history: TopicHistory) -> dict[str, list[int]]:
    """When each run is told to have been begun, in milliseconds. A send that failed tells one beginning twice."""
    found = defaultdict[str, list[int]](list)
    for record, entry in history.entries(CONTROL_TP):
        if isinstance(entry, Message) and isinstance(entry.event, RunStarted):
            found[entry.event.run_id].append(record.timestamp_ms)
    return found


def begun_again(hit: Hit, fits: dict[str, list[int]]) -> bool:
    """Whether the fit that this blow met was begun before it, and again after it: who is dead repeats nothing."""
    [begun] = [times for run_id, times in fits.items() if run_id[:8] in hit.in_hand["training"]]
    return min(begun) <= hit.at_ms < max(begun)


def compare(course: Course, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole test."""
    disturbed = replayed(course, folder, BrokerKind.KAFKA, capsys, monkeypatch)
    undisturbed = replayed(course, folder, BrokerKind.EMBEDDED, capsys, monkeypatch)
    assert undisturbed.violations == []
    assert disturbed.violations == []
    for hit in disturbed.hits:
        with capsys.disabled():
            print(f"\nkilled {', '.join(hit.victims)}: {dict(hit.in_hand)}", end="")
    # No blow is dealt but to services with work in hand: one that met none is missing here.
    assert [hit.victims for hit in disturbed.hits] == [blow.victims for blow in course.blows]
    # A fit that was killed was begun again.
    assert disturbed.fits.keys() == undisturbed.fits.keys()
    for blow, hit in zip(course.blows, disturbed.hits, strict=True):
        assert not blow.at_work or begun_again(hit, disturbed.fits), hit
    happened = undisturbed.decisions.keys()
    assert {f"DriftDetected {MODEL}", f"RolloutAdvanced {MODEL}", f"VersionPromoted {MODEL}"} <= happened
    assert_same(undisturbed.decisions, disturbed.decisions)
    assert_same(undisturbed.predictions, disturbed.predictions)
    assert without_facts(disturbed.report) == without_facts(undisturbed.report)


def assert_same(undisturbed: Said, disturbed: Said) -> None:
    """Says where they first differ."""
    assert disturbed.keys() == undisturbed.keys()
    for where, expected in undisturbed.items():
        found = disturbed[where]
        for n, (one, other) in enumerate(zip(expected, found, strict=False)):
            assert other == one, f"{where}, number {n + 1}"
        assert len(found) == len(expected), where


def test_only_a_beginning_after_the_blow_counts() -> None:
    hit = Hit(("training",), {"training": "fitting run 12345678 of price_up"}, 2_000)
    assert begun_again(hit, {"12345678-9": [1_000, 2_500], "87654321-0": [1_000]})
    assert not begun_again(hit, {"12345678-9": [1_000, 1_000], "87654321-0": [2_500]})


@pytest.mark.timeout(900)
def test_a_short_replay_with_kills_decides_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(SHORT, tmp_path, capsys, monkeypatch)


@pytest.mark.proof
@pytest.mark.timeout(3_600)
def test_a_long_replay_with_kills_decides_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(LONG, tmp_path, capsys, monkeypatch)
