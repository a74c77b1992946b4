"""Short replays over the embedded broker: every record accounted for, whoever is killed, at whatever pace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local import replay
from deploy.local.options import ReplayOptions
from deploy.local.platform import LocalPlatform
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.log import TopicPartition
from tests.e2e.evidence_of_run import gathered
from tests.e2e.killer import Blow, Killer, telling
from tests.scenarios.topic_history import TopicHistory
from tests.shared_data import shared_file

ROOT = Path(__file__).resolve().parents[2]
ROWS, MINIMUM_ROWS = 576, 240
PACED_ROWS, HELD_BACK = 300, 10
# A row a second, so that 100x takes three.
PACED = """
kind: Source
name: {name}
key: door
id: visit
time: {{field: at, clock: events}}
fields: {{door: string, visit: integer, height: number}}
---
kind: Source
name: {name}_labels
key: door
id: visit
time: {{field: at, clock: events}}
fields: {{door: string, visit: integer, tall: boolean}}
---
kind: Model
name: {name}_tall
scores: {name}
task: binary
inputs: {{fields: [height]}}
label: {{source: {name}_labels, field: tall, joins: visit, matures_after: 30s, expires_after: 1h}}
training: {{minimum_rows: 100, search: {{families: [logistic_regression], trials: 1}}}}
retrain: {{policy: never}}
---
kind: Replay
name: {name}
source: {name}
fields: {{door: "'north'", visit: row}}
time: parse_time('2026-01-01T00:00:00Z') + seconds(row)
labels:
  source: {name}_labels
  fields: {{door: "'north'", visit: row, tall: height > 170}}
  hold_back: {{records: {held_back}}}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """One for all of them; at the end the topics that they have written are looked at."""
    with LocalPlatform(tmp_path_factory.mktemp("data"), any_ports=True) as running:
        yield running
        evidence = gathered(running.data)
    assert evidence.violations() == []


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """The example's, with a first model early enough for a short run."""
    text = (ROOT / "examples" / "electricity" / "definitions.yaml").read_text()
    assert "minimum_rows: 2000" in text
    assert "{policy: every, rows: 2000}" in text
    file = tmp_path / "definitions.yaml"
    text = text.replace("minimum_rows: 2000", f"minimum_rows: {MINIMUM_ROWS}")
    file.write_text(text.replace("{policy: every, rows: 2000}", "{policy: every, rows: 200}"))
    return file


def _accounted_for(found: dict[str, Any]) -> None:
    assert found["records"] == {"published": ROWS, "accepted": ROWS, "rejected": 0, "late": 0}
    assert set(found["models"]) == {"price_up_never", "price_up_every", "price_up_evidence"}
    for model in found["models"].values():
        assert model["accepted"] == ROWS == model["before_first_model"] + model["scored"]
        assert model["scored"] == model["joined"] > 0
        assert model["unlabelled"] == model["unmatured"] == 0
        assert model["before_first_model"] > MINIMUM_ROWS
        assert model["metric"] == "accuracy"
        assert 0.4 < model["quality"] < 1.0
        assert len(model["quality_by_tenth"]) == 10
    never, every = found["models"]["price_up_never"], found["models"]["price_up_every"]
    assert (never["retrainings"], never["promotions"]) == (0, 0)
    assert every["retrainings"] == every["promotions"] > 0


@pytest.mark.timeout(300)
def test_every_record_is_accounted_for_though_services_are_killed(
    definitions: Path,
    platform: LocalPlatform,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = shared_file("electricity.csv")
    killer = Killer(platform, "electricity/0", (Blow(96, ("features",)), Blow(288, ("monitoring",))))
    monkeypatch.setattr(replay, "Settling", telling(killer))
    killer.start()
    options = ReplayOptions(
        definitions, file, limit=ROWS, json=True, data=platform.data, console=platform.console
    )  # fmt: skip
    status = replay.run_replay(options)
    killer.stop()
    assert status == 0
    assert [hit.victims for hit in killer.hits] == [("features",), ("monitoring",)]
    _accounted_for(orjson.loads(capsys.readouterr().out))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "pace"), [("hurried", "max"), ("paced", "100x")])
def test_without_lockstep_every_record_is_accounted_for_as_well(
    name: str, pace: str, platform: LocalPlatform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, declared = tmp_path / f"{name}.csv", tmp_path / "definitions.yaml"
    heights = [150 + 7 * row % 41 for row in range(PACED_ROWS)]
    file.write_text("\n".join(["height", *map(str, heights)]))
    declared.write_text(PACED.format(name=name, held_back=HELD_BACK))
    status = replay.run_replay(
        ReplayOptions(declared, file, pace=pace, json=True, data=platform.data, console=platform.console)
    )
    found = orjson.loads(capsys.readouterr().out)
    assert status == 0, found
    assert found["records"] == {"published": PACED_ROWS, "accepted": PACED_ROWS, "rejected": 0, "late": 0}
    model = found["models"][f"{name}_tall"]
    assert model["accepted"] == PACED_ROWS == model["before_first_model"] + model["scored"]
    assert model["scored"] == model["joined"] + model["unlabelled"] + model["unmatured"]
    assert model["unlabelled"] == model["unmatured"] == 0
    published = _published(platform, name)
    assert [visit for _, visit in published] == list(range(PACED_ROWS)), "in the order of their times"
    if pace == "100x":
        took_s = (published[-1][0] - published[0][0]) / 1000
        assert took_s >= 0.9 * (PACED_ROWS - 1) / 100, "no record goes out before its time"


def _published(platform: LocalPlatform, source: str) -> list[tuple[int, int]]:
    """When each visit was published, and its number, in the order of the source's topic."""
    history = TopicHistory.read(KafkaBroker(platform.kafka))
    records = history.logs[TopicPartition(source, 0)]
    return [(record.timestamp_ms, orjson.loads(record.value or b"")["visit"]) for record in records]
