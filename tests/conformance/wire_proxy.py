"""A network between clients and one broker: it can be cut, fall silent, swallow requests and flip bits of answers.

It understands no more of Kafka's protocol than its frames: a length, then of a request its kind and number, of an
answer the number again (https://kafka.apache.org/protocol#protocol_common). Answers that name the broker's address
name the proxy's instead, so that clients stay on this network.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import IntEnum
from types import TracebackType
from typing import Self

from deploy.ports import free_ports

HOST = "127.0.0.1"
_CONNECT_S = 5.0


class Api(IntEnum):
    """Kinds of requests that tests ask for; others pass as plain numbers."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    FIND_COORDINATOR = 10
    INIT_PRODUCER_ID = 22
    DESCRIBE_CLUSTER = 60


_NAMING_BROKERS = frozenset({Api.METADATA, Api.FIND_COORDINATOR, Api.DESCRIBE_CLUSTER})

# (kind of request, frame without its length) -> the frame to pass on, or None: it is swallowed.
Hook = Callable[[int, bytes], bytes | None]


def pass_on(_api: int, frame: bytes) -> bytes:
    """The hook of a network that does no harm."""
    return frame


class WireProxy:
    """Between clients and the broker at `broker`, host and port. `requests` and `answers` may be set at any time.

    A hook that raises ConnectionError ends the connection that the frame came on.
    """

    def __init__(self, broker: str) -> None:
        self._broker_port = int(broker.rpartition(":")[2])
        [self.port] = free_ports(1)
        self.requests: Hook = pass_on
        self.answers: Hook = pass_on
        self._flows = threading.Event()
        self._flows.set()
        self._listening: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return f"{HOST}:{self.port}"

    def mend(self) -> None:
        """Take connections, and let what was held go on."""
        self._flows.set()
        if self._listening is None:
            self._listening = socket.create_server((HOST, self.port))
            self._accepting = threading.Thread(target=self._accept, args=(self._listening,), daemon=True)
            self._accepting.start()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        listening, self._listening = self._listening, None
        if listening is not None and self._accepting is not None:
            # A thread that waits in accept keeps the port open until it is woken.
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            self._accepting.join()
        with self._lock:
            ended = list(self._connections)
        for connection in ended:
            connection.end()
        self._flows.set()
        for connection in ended:
            connection.join()

    def fall_silent(self) -> None:
        """Take connections and bytes, and pass nothing on until `mend`."""
        self._flows.clear()

    def answer(self, api: int, frame: bytes) -> bytes | None:
        """An answer of the broker as clients shall see it."""
        if api in _NAMING_BROKERS:
            ours, theirs = (HOST.encode() + struct.pack(">i", port) for port in (self.port, self._broker_port))
            frame = frame.replace(theirs, ours)
        return self.answers(api, frame)

    def await_flow(self) -> None:
        """Return once frames may pass."""
        self._flows.wait()

    def forget(self, connection: _Connection) -> None:
        """A connection has ended."""
        with self._lock:
            self._connections.discard(connection)

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection((HOST, self._broker_port), timeout=_CONNECT_S)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            connection = _Connection(self, client, broker)
            with self._lock:
                self._connections.add(connection)
            connection.start()


class _Connection:
    """One client's: a thread for each direction; the one that ends last closes both sockets."""

    def __init__(self, proxy: WireProxy, client: socket.socket, broker: socket.socket) -> None:
        self._proxy, self._client, self._broker = proxy, client, broker
        self._kinds: dict[int, int] = {}
        self._last = threading.Semaphore(1)
        self._threads = [
            threading.Thread(target=self._carry, args=(client, broker, self._request), daemon=True),
            threading.Thread(target=self._carry, args=(broker, client, self._answer), daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        for end in (self._client, self._broker):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _carry(self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes | None]) -> None:
        with contextlib.suppress(OSError):
            while (frame := _frame(source)) is not None:
                self._proxy.await_flow()
                passed = change(frame)
                if passed is not None:
                    target.sendall(struct.pack(">i", len(passed)) + passed)
        self.end()
        if not self._last.acquire(blocking=False):
            self._client.close()
            self._broker.close()
            self._proxy.forget(self)

    def _request(self, frame: bytes) -> bytes | None:
        kind, _, number = struct.unpack_from(">hhi", frame)
        self._kinds[number] = kind
        return self._proxy.requests(kind, frame)

    def _answer(self, frame: bytes) -> bytes | None:
        (number,) = struct.unpack_from(">i", frame)
        return self._proxy.answer(self._kinds.pop(number), frame)


def _frame(source: socket.socket) -> bytes | None:
    """The next frame without its length; None at the end of the connection."""
    head = _exactly(source, 4)
    if head is None:
        return None
    (size,) = struct.unpack(">i", head)
    return _exactly(source, size)


def _exactly(source: socket.socket, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        part = source.recv(min(size - len(found), 1 << 20))
        if not part:
            return None
        found += part
    return bytes(found)
