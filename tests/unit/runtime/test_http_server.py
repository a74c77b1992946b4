"""A service's HTTP server: there as soon as it is said to be, and alone on its port."""

from __future__ import annotations

import socket
import threading

import httpx
import pytest
from prometheus_client import CollectorRegistry
from uvicorn import Server

from deploy.ports import free_ports
from shared.runtime import http_server
from shared.runtime.http_server import Health, PortTaken, build_app, serve
from tests.eventually import eventually


@pytest.fixture
def port() -> int:
    [port] = free_ports(1)
    return port


def test_who_connects_at_once_is_answered(port: int) -> None:
    stop = serve(build_app(Health("console"), CollectorRegistry(), ()), "127.0.0.1", port)
    try:
        assert httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False, timeout=30.0).status_code == 200
    finally:
        stop()


def test_the_date_of_answers_goes_on(port: int) -> None:
    stop = serve(build_app(Health("console"), CollectorRegistry(), ()), "127.0.0.1", port)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            first = client.get("/livez").headers["date"]
            eventually(lambda: client.get("/livez").headers["date"] != first, 30, "a later second")
    finally:
        stop()


def test_a_server_that_is_to_stop_does_not_wait_for_its_next_look(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "LOOK_EVERY_S", 3_600.0)
    stop = serve(build_app(Health("console"), CollectorRegistry(), ()), "127.0.0.1", port)
    assert httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False, timeout=30.0).status_code == 200
    stop()
    assert "http" not in {thread.name for thread in threading.enumerate()}


def test_nobody_is_refused_while_the_server_still_starts(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_runs(server: Server, sockets: list[socket.socket]) -> None:
        """As a thread that does not come to its turn."""

    monkeypatch.setattr(Server, "run", never_runs)
    stop = serve(build_app(Health("console"), CollectorRegistry(), ()), "127.0.0.1", port)
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
    finally:
        stop()


def test_a_port_that_another_server_holds_is_told(port: int) -> None:
    app = build_app(Health("console"), CollectorRegistry(), ())
    stop = serve(app, "127.0.0.1", port)
    try:
        with pytest.raises(PortTaken, match=str(port)):
            serve(app, "127.0.0.1", port)
    finally:
        stop()
