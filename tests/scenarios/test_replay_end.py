"""The end of a replay, played on the simulated platform: every record has matured, every label has its fate."""

from __future__ import annotations

from pathlib import Path

import orjson

from deploy.local.replay_pace import parse_pace
from deploy.local.replay_publisher import ReplayPublisher
from deploy.local.replay_rows import Outgoing, read_rows
from deploy.local.replay_run import ReplayRun
from deploy.local.settle import Ends, Settled
from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.remembered_fits import RememberedFits
from shared.contracts.definitions import Model
from shared.contracts.flow import LabelFate, LabelStatus, LabelUnused, OutcomeMatured, OutcomeScored
from shared.contracts.topics import OUTCOMES
from shared.contracts.topology import NO_DEFINITIONS
from shared.runtime.definition_files import load
from tests.scenarios.topic_history import TopicHistory
from tests.shared_data import shared_file

ROOT = Path(__file__).resolve().parents[2]
MODEL = "price_up_never"
ROWS, REJECTED, NO_LABEL = 120, {5, 119}, {7, 118}


class Publisher(ReplayPublisher):
    """Some records do not fit their source, and some labels never come."""

    def send(self, record: Outgoing) -> None:
        value = orjson.loads(record.value)
        labels = "up" in value
        if labels and value["reading"] in NO_LABEL:
            return
        if not labels and value["reading"] in REJECTED:
            record = Outgoing(record.topic, record.partition, record.key, orjson.dumps({**value, "transfer": "none"}))
        super().send(record)


def test_at_the_end_of_a_replay_every_record_has_matured_and_every_label_has_its_fate() -> None:
    loaded = load(ROOT / "examples" / "electricity" / "definitions.yaml")
    declared = [one for one in loaded.published if not isinstance(one, Model) or one.name == MODEL]
    definitions = NO_DEFINITIONS.with_applied(declared)
    rows = read_rows(loaded.replays[0], definitions, shared_file("electricity.csv"), limit=ROWS)
    platform = SimulatedPlatform(1, declared, RememberedFits())

    def settle(ends: Ends) -> Settled:
        platform.world.settle(20_000)
        return Settled(platform.history.position, ends)

    publisher = Publisher("electricity", platform.world.broker.writer())
    ReplayRun(rows, definitions, publisher, settle, lambda: 0, lambda rows: None).run(parse_pace("lockstep"), 48)
    history, outcomes = TopicHistory.of_memory(platform.world.broker), OUTCOMES.of(MODEL).name
    scored = {event.prediction.record_id for _, event in history.events(outcomes, OutcomeScored)}
    matured = {event.prediction.record_id: event.status for _, event in history.events(outcomes, OutcomeMatured)}
    unused = {event.join_id: event.fate for _, event in history.events(outcomes, LabelUnused)}
    assert scored == matured.keys() == {str(n) for n in range(ROWS) if n not in REJECTED}
    unlabelled = {record_id for record_id, status in matured.items() if status is LabelStatus.UNLABELLED}
    assert unlabelled == {str(n) for n in NO_LABEL}
    assert unused == {str(n): LabelFate.WITHOUT_RECORD for n in REJECTED}
