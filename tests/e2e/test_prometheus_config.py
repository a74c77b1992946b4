"""The compose file's Prometheus: promtool accepts its configuration, it scrapes every service, and its alerts fire."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from shared.runtime.settings import DEFAULT_PORTS
from tests.e2e.prometheus import MISSING

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
ALERTS = CONFIG.with_name("alerts.yml")
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
INSTANCE = {"job": "headrace", "instance": "features:8102"}
TASK = {**INSTANCE, "step": "compute", "subject": "orders", "partition": "0"}
# Of each alert: a series, its labels, its values minute by minute, and at which minutes it is silent and fires.
CASES = (
    ("HeadraceServiceAway", "up", INSTANCE, "1 0 0 0 1", {1: False, 3: True, 4: False}),
    ("HeadraceDiskFull", "headrace_features_disk_full", TASK, "0 1 1 0", {0: False, 1: True, 3: False}),
    ("HeadraceDeadLetters", "headrace_features_dead_events_total", TASK, "0 0 2x9", {1: False, 2: True, 9: False}),
    ("HeadraceDamagedRecords", "headrace_ingestion_damaged_events_total", TASK, "0 0 3x9", {1: False, 2: True}),
    ("HeadraceNoCopy", "headrace_features_copy_age_seconds", TASK, "0+60x40", {30: False, 31: True}),
)  # fmt: skip


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    assert program, MISSING
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_promtool_accepts_the_shipped_configuration(tmp_path: Path) -> None:
    found = promtool("check", "config", CONFIG)
    assert found.returncode == 0, found.stdout + found.stderr
    shutil.copy(ALERTS, tmp_path)
    spoilt = tmp_path / "prometheus.yml"
    spoilt.write_text(CONFIG.read_text())
    assert promtool("check", "config", spoilt).returncode == 0
    spoilt.write_text(CONFIG.read_text().replace("scrape_interval: 5s", "scrape_interval: often"))
    assert promtool("check", "config", spoilt).returncode != 0


def test_it_scrapes_every_service_of_the_compose_file_at_its_port() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    mounted = [volume for volume in services["prometheus"]["volumes"] if volume.endswith(".yml:ro")]
    assert [(ROOT / volume.partition(":")[0]).resolve() for volume in mounted] == [CONFIG, ALERTS]
    assert {volume.split(":")[1].rpartition("/")[0] for volume in mounted} == {"/etc/prometheus"}
    built = {name: service for name, service in services.items() if "build" in service}
    assert built.keys() == DEFAULT_PORTS.keys()
    published = {name: {int(port.rpartition(":")[2]) for port in service["ports"]} for name, service in built.items()}
    assert published == {name: {port} for name, port in DEFAULT_PORTS.items()}
    jobs = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    targets = [target for job in jobs for static in job["static_configs"] for target in static["targets"]]
    assert sorted(targets) == sorted(f"{name}:{port}" for name, port in DEFAULT_PORTS.items())


def test_no_alert_is_untried() -> None:
    assert [rule["alert"] for rule in RULES] == [alert for alert, *_ in CASES]


@pytest.mark.parametrize(("alert", "metric", "labels", "values", "fires"), CASES, ids=[alert for alert, *_ in CASES])
def test_an_alert_fires_when_it_should_and_ends(
    alert: str, metric: str, labels: dict[str, str], values: str, fires: dict[int, bool], tmp_path: Path
) -> None:
    [rule] = [rule for rule in RULES if rule["alert"] == alert]
    told = {name: filled(text, labels) for name, text in rule["annotations"].items()}
    firing = {"exp_labels": labels, "exp_annotations": told}
    selector = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    case = {
        "interval": "1m",
        "input_series": [{"series": f"{metric}{{{selector}}}", "values": values}],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": [firing] if on else []}
            for minute, on in fires.items()
        ],
    }
    test = tmp_path / "test.yml"
    test.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [case]}))
    found = promtool("test", "rules", test)
    assert found.returncode == 0, found.stdout + found.stderr


def filled(text: str, labels: dict[str, str]) -> str:
    """A rule's text as Prometheus says it."""
    for name, value in labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return text
