"""Asks a broker for its cluster's members over a plain socket: the readiness check of both brokers."""

from __future__ import annotations

import socket
import struct

_METADATA, _VERSION, _CORRELATION = 3, 1, 1
_CLIENT = b"headrace-probe"


def broker_ids(port: int, timeout_s: float = 1.0) -> frozenset[int]:
    """Ids of the brokers that 127.0.0.1:`port` counts as alive; empty while it does not answer.

    A Metadata request of version 1 for no topic (Apache Kafka protocol guide). Stronger than ApiVersions: a broker
    answers that one before the controller has let it in.
    """
    body = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT)) + _CLIENT + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _read(connection, 4))
            return _parse_brokers(_read(connection, size))
    except (OSError, struct.error):
        return frozenset()


def _parse_brokers(answer: bytes) -> frozenset[int]:
    correlation, count = struct.unpack_from(">ii", answer)
    if correlation != _CORRELATION:
        return frozenset()
    ids: set[int] = set()
    at = 8
    for _ in range(count):
        node, host_length = struct.unpack_from(">ih", answer, at)
        ids.add(node)
        at += 6 + host_length + 4
        (rack_length,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack_length, 0)
    return frozenset(ids)


def _read(connection: socket.socket, size: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = connection.recv(size - len(chunks))
        if not chunk:
            raise ConnectionResetError("the broker closed the connection in the middle of its answer")
        chunks += chunk
    return bytes(chunks)
