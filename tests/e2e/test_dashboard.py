"""Every query of the dashboard, asked of a Prometheus that scraped the demo."""

from __future__ import annotations

import math

import pytest

from deploy.grafana.panels import PANELS, Panel
from shared.contracts import control
from tests.e2e.conftest import WatchedDemo

pytestmark = pytest.mark.timeout(900)
STORY = {"DriftDetected", "RunRequested", "RolloutAdvanced", "VersionPromoted"}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_an_event_of_the_demo_has_moved_every_query_of(panel: Panel, watched_demo: WatchedDemo) -> None:
    told = {event["event"] for event in watched_demo.result["events"]}
    if panel.moved_by in STORY:
        assert getattr(control, panel.moved_by).ce_type in told, f"the demo had no {panel.moved_by}"
    for query in panel.queries:
        asked = query.expression.replace("$model", ".*")
        series = watched_demo.prometheus.range(asked, watched_demo.from_s, watched_demo.to_s)
        values = [[value for value in found if not math.isnan(value)] for found in series]
        assert any(len(set(found)) > 1 for found in values), f"{query.expression} stayed as it was: {values}"
