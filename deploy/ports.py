"""Ports on the loopback interface."""

from __future__ import annotations

import random
import socket

# Below Linux's range for outgoing connections (32768 and up): no client can sit on a broker's port while it is down.
_RANGE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could bind 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different ports that nothing holds now. The choice is random so that processes side by side differ."""
    ports: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(ports) == count:
            return ports
        if is_free(port):
            ports.append(port)
    raise OSError(f"no {count} free ports between {_RANGE.start} and {_RANGE.stop} on 127.0.0.1: stop what holds them")
