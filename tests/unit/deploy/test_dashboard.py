"""The dashboard as it is committed."""

from __future__ import annotations

import json

from deploy.grafana.generate import TARGET, the_loop
from deploy.grafana.panels import PANELS
from shared.contracts import control, flow


def test_the_committed_dashboard_is_what_the_code_makes() -> None:
    assert TARGET.read_text() == the_loop(), "run `make docs` and commit the dashboard"


def test_every_panel_is_moved_by_an_event_of_the_contracts() -> None:
    for panel in PANELS:
        assert hasattr(control, panel.moved_by) or hasattr(flow, panel.moved_by), panel.title


def test_panels_do_not_overlap() -> None:
    taken = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in json.loads(the_loop())["panels"]]
    assert len(set(taken)) == len(taken) == len(PANELS)
