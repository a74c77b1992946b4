"""Where a local platform listens, what its processes are told, and what becomes of old state."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from deploy.local.data_folder import DataFolder, DataFolderInUse
from deploy.local.platform_environment import Ports, PortsTaken, any_free_ports, environment, ports_from
from deploy.local.running_platform import RunningPlatform, noted_broker
from shared.runtime.settings import DEFAULT_PORTS

PORTS = Ports({name: port + 1_000 for name, port in DEFAULT_PORTS.items()}, 19_092)


def said_to(
    service: str, inherited: dict[str, str], *, ours: bool = True, embedded_pid: int | None = None
) -> dict[str, str]:
    return environment(
        service, inherited, ports=PORTS, data=Path("/data"), bootstrap="127.0.0.1:19092", broker_is_ours=ours,
        embedded_pid=embedded_pid,
    )  # fmt: skip


def test_a_service_is_told_its_port_its_broker_and_where_the_others_are() -> None:
    said = said_to("serving", {"PATH": "/bin"}, embedded_pid=7)
    assert said["HEADRACE_PORT"] == str(DEFAULT_PORTS["serving"] + 1_000)
    assert said["HEADRACE_KAFKA_BOOTSTRAP"] == "127.0.0.1:19092"
    assert (said["HEADRACE_KAFKA_EMBEDDED"], said["HEADRACE_LOCAL_BROKER_PID"]) == ("true", "7")
    assert json.loads(said["HEADRACE_SERVICE_URLS"]) == PORTS.urls
    assert said["PATH"] == "/bin"


def test_a_broker_of_our_own_takes_no_settings_of_another_cluster() -> None:
    inherited = {"HEADRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "HEADRACE_KAFKA_TOPIC_PREFIX": "team."}
    assert inherited.keys().isdisjoint(said_to("console", inherited))
    foreign = said_to("console", inherited, ours=False)
    assert inherited.items() <= foreign.items()
    assert "HEADRACE_KAFKA_EMBEDDED" not in foreign


def test_ports_follow_a_base_and_one_that_is_taken_is_named() -> None:
    base = any_free_ports().broker
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", base))
        held.listen()
        with pytest.raises(PortsTaken, match=rf"{base} \(console\)"):
            ports_from(base, embedded=True)
    ports = any_free_ports()
    assert len({*ports.services.values(), ports.broker}) == len(DEFAULT_PORTS) + 1


def test_state_beside_an_embedded_broker_is_removed_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    for start in range(2):
        with DataFolder(tmp_path, embedded=True) as folder:
            folder.prepare(fresh=False, show=said.append)
            assert list(folder.of_services.iterdir()) == []
            (folder.of_services / "state").mkdir()
        assert len(said) == start


def test_state_beside_apache_kafka_is_kept_and_set_aside_when_asked(tmp_path: Path) -> None:
    said: list[str] = []
    with DataFolder(tmp_path, embedded=False) as folder:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "file").write_text("kept")
        folder.prepare(fresh=False, show=said.append)
        assert (tmp_path / "state" / "file").read_text() == "kept"
        folder.prepare(fresh=True, show=said.append)
    [aside] = tmp_path.glob("aside-*")
    assert (aside / "state" / "file").read_text() == "kept"
    assert not (tmp_path / "state").exists()
    assert str(aside) in said[0]


def test_two_platforms_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path, embedded=True),
        pytest.raises(DataFolderInUse, match="--data"),
        DataFolder(tmp_path, embedded=False),
    ):
        pass
    with DataFolder(tmp_path, embedded=True):
        pass


def test_the_broker_of_a_running_platform_is_found_by_its_console(tmp_path: Path) -> None:
    console = "http://127.0.0.1:8100"
    assert noted_broker(tmp_path, console) is None
    RunningPlatform(console=console, bootstrap="127.0.0.1:1234", embedded=True).write(tmp_path)
    found = noted_broker(tmp_path, console + "/")
    assert found is not None
    assert (found.bootstrap, found.embedded) == ("127.0.0.1:1234", True)
    assert noted_broker(tmp_path, "http://127.0.0.1:9999") is None
    RunningPlatform.remove(tmp_path)
    assert noted_broker(tmp_path, console) is None
