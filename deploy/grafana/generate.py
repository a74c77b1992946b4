"""Writes the dashboard *The loop* as JSON: `python -m deploy.grafana.generate`, or `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dashboard_models
from grafana_foundation_sdk.models.common import DataSourceRef, LegendDisplayMode, LegendPlacement

from deploy.grafana.panels import PANELS, Panel

TARGET = Path(__file__).parent / "dashboards" / "the_loop.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
COLUMNS, WIDTH, HEIGHT = 3, 8, 8


def the_loop() -> str:
    """The dashboard's JSON."""
    built = (
        dashboard.Dashboard("The loop")
        .uid("headrace-the-loop")
        .tags(["headrace"])
        .refresh("5s")
        .time("now-15m", "now")
        .with_variable(
            dashboard.QueryVariable("model")
            .query("label_values(headrace_console_champion_version, model)")
            .datasource(SOURCE)
            .multi(True)
            .include_all(True)
        )
    )
    for number, panel in enumerate(PANELS):
        built = built.with_panel(_drawn(panel, number))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _drawn(panel: Panel, number: int) -> timeseries.Panel:
    drawn = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(SOURCE)
        .span(WIDTH)
        .height(HEIGHT)
        .grid_pos(_position(number))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
    )
    for query in panel.queries:
        drawn = drawn.with_target(prometheus.Dataquery().expr(query.expression).legend_format(query.legend))
    return drawn


def _position(number: int) -> dashboard_models.GridPos:
    return dashboard_models.GridPos(h=HEIGHT, w=WIDTH, x=WIDTH * (number % COLUMNS), y=HEIGHT * (number // COLUMNS))


if __name__ == "__main__":
    TARGET.write_text(the_loop())
    sys.stderr.write(f"wrote {TARGET.name}\n")
