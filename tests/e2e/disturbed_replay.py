"""A short replay of a real file, disturbed by blows, and what came of it: to be compared with an undisturbed one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local import replay
from deploy.local.options import BrokerKind, ReplayOptions
from deploy.local.platform import LocalPlatform
from shared.contracts.control import RunStarted
from shared.contracts.envelope import Message
from tests.e2e.decided import Said, decisions, predictions, without_facts
from tests.e2e.evidence_of_run import gathered
from tests.e2e.killer import Blow, Hit, Killer, telling
from tests.scenarios.topic_history import CONTROL_TP, TopicHistory
from tests.shared_data import shared_file

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "electricity" / "definitions.yaml"
MODEL = "price_up_evidence"
# So that a first version, a drift, a second version and its rollout fit into a few hundred rows.
EARLIER = {
    "minimum_rows: 2000": "minimum_rows: 120",
    "rows: 2000}": "rows: 400}",
    "expected_run_length: 100000": "expected_run_length: 200",
    "horizon: 10000, cost: 60, cooldown: 5d": "horizon: 10000, cost: 5, cooldown: 24h",
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
    data: Path,
    broker: BrokerKind,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    instances: Mapping[str, int] | None = None,
) -> Run:
    """Replay it in lockstep, and deal its blows."""
    data.mkdir(parents=True)
    file, declared = shared_file("electricity.csv"), definitions(data, course.models)
    with LocalPlatform(data, broker=broker, any_ports=True, instances=instances) as platform:
        killer = Killer(platform, "electricity/0", course.blows)
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


def assert_as_undisturbed(disturbed: Run, undisturbed: Run) -> None:
    """The same decisions, predictions and counts, a whole story among them, and nothing violated."""
    assert undisturbed.violations == []
    assert disturbed.violations == []
    assert disturbed.fits.keys() == undisturbed.fits.keys()
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
