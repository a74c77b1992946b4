"""docs/operations.md names every metric, topic, reason, link and port that there is, and no other."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from deploy.local import data_folder
from deploy.local.supervisor import DEATHS_ALLOWED, DEATHS_WITHIN_S
from services.console.cli.doctor_command import BLIND, FOUND, NOTHING_WRONG
from services.console.doctor.diagnosis import CHECKS
from services.console.doctor.facts import Limits
from services.console.platform_metrics import PlatformMetrics
from services.serving.request_figures import RequestMetrics
from shared.contracts import topics
from shared.contracts.control import RunReason
from shared.contracts.envelope import MARK_TYPE
from shared.contracts.flow import RejectReason
from shared.contracts.why import Link
from shared.runtime.dead_letters import KEPT_BYTES
from shared.runtime.history import ControlHistory
from shared.runtime.http_server import Health, build_app
from shared.runtime.settings import DEFAULT_PORTS, STOPPED_FOR_GOOD
from tests import builders as b
from tests.unit.docs.markdown import DOCS, rows

DOCUMENT = (DOCS / "operations.md").read_text()
TOLD = [row.cells for row in rows(DOCUMENT)]
FIRST = [cells[0].strip("`") for cells in TOLD]


def test_every_metric_is_told() -> None:
    registry = CollectorRegistry()
    build_app(Health("SERVICE"), registry, ())
    RequestMetrics(registry)
    registry.register(PlatformMetrics(ControlHistory()))
    families = [family for family in registry.collect() if family.name.startswith("headrace_")]
    there = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert {name for name in FIRST if name.startswith("headrace_")} == there


def test_every_topic_is_told() -> None:
    definitions = b.definitions()
    told = {
        row.cells[0].strip("`") for row in rows(DOCUMENT) if row.heading == "Topics" and row.cells[0].startswith("`")
    }
    families = [one for one in vars(topics).values() if isinstance(one, topics.TopicFamily)]
    single = [one.name for one in vars(topics).values() if isinstance(one, topics.Topic)]
    assert told == {*(one.of("NAME").name for one in families), *single, topics.dead_letters("NAME")}
    own = {source.topic_name for source in definitions.sources.values()}
    names = (*definitions.sources, *definitions.views, *definitions.models)
    patterns = {pattern.replace("NAME", name) for pattern in told for name in names}
    assert definitions.partitions.keys() - own <= patterns


def test_every_reason_of_a_reject_every_link_of_the_chain_and_every_port_is_told() -> None:
    assert {*RejectReason} <= set(FIRST)
    assert {*Link} <= set(FIRST)
    [run] = [cells[1] for cells in TOLD if cells[0] == "`run`"]
    assert all(f"`{reason}`" in run for reason in RunReason)
    assert {cells[0]: int(cells[1]) for cells in TOLD if cells[0] in DEFAULT_PORTS} == DEFAULT_PORTS


def test_every_path_that_all_services_answer_is_told() -> None:
    app = build_app(Health("SERVICE"), CollectorRegistry(), ())
    paths = {getattr(route, "path", "") for route in app.routes} - {"/openapi.json", "/docs/oauth2-redirect"}
    assert {name for name in FIRST if name.startswith("/")} == paths


def test_figures_are_those_of_the_code() -> None:
    assert (DEATHS_ALLOWED, DEATHS_WITHIN_S) == (5, 60.0)
    assert f"`{MARK_TYPE}`" in DOCUMENT
    assert "after the fifth time in a minute" in DOCUMENT
    assert f"Exit code {STOPPED_FOR_GOOD} " in DOCUMENT
    assert (KEPT_BYTES, "64 kB at most" in DOCUMENT) == (65_536, True)
    assert all(f"`.headrace/{name}`" in DOCUMENT for name in data_folder._STATE)


def test_every_check_of_the_doctor_is_told_with_its_limits() -> None:
    told = {row.cells[0]: row.cells[1] for row in rows(DOCUMENT) if row.heading == "The doctor"}
    assert [*told] == [check.value for check in CHECKS]
    limits = Limits()
    assert f"more than {limits.clocks_apart_s:g} s" in told["clocks"]
    assert (limits.disk_free_bytes, limits.disk_enough_bytes) == (1 << 30, 10 << 30)
    assert (
        f"less than 1 GiB is free, or less than {limits.disk_free_share:.0%} and 10 GiB".replace("%", " %")
        in told["disks"]
    )
    assert (limits.copy_age_turns, f"{limits.copy_grace_s:g} s") == (2.0, "30 s")
    assert "twice `HEADRACE_COPY_EVERY_S` and 30 s" in told["copies"]
    assert (
        f"Exit status: {NOTHING_WRONG} nothing is wrong, {FOUND} something is, {BLIND} there was\nnothing" in DOCUMENT
    )


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in (DOCS.parent / "README.md", *DOCS.glob("*.md")):
        for target in _links(document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def _links(text: str) -> list[Path]:
    targets = [part.partition(")")[0] for part in text.split("](")[1:]]
    return [Path(target.partition("#")[0]) for target in targets if "://" not in target]
