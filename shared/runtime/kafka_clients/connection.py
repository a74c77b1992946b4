"""How every client connects: it tells a refusal from silence, leaves no socket behind, and creates no topic."""
# The stubs are of kafka-python 2.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import kafka.errors as kafka_errors
from kafka.net import KafkaNetSocket
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Unanswered
from shared.runtime.log import AccessDenied, BrokerAway

BLOCK_MS = 2_000  # at most so long a call waits for an answer
DENIED = (kafka_errors.AuthorizationError, kafka_errors.SaslAuthenticationFailedError)


class DirectSocket(KafkaNetSocket):
    """No proxy at all, but a socket that cannot connect is closed; kafka-python's own leaves that to the collector."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        with ExitStack() as unless_connected:
            unless_connected.callback(sock.close)
            connected = await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
            unless_connected.pop_all()
        return connected


class _Manager(KafkaConnectionManager):
    """Remembers why a broker refused us; kafka-python tries on until its time is up, and names no reason then."""

    refusal: BaseException | None = None

    def get_connection(self, *args: Any, **options: Any) -> Any:
        connection = super().get_connection(*args, **options)
        connection.init_future.add_errback(self._note)
        return connection

    def _note(self, error: BaseException) -> None:
        if isinstance(error, DENIED):
            self.refusal = error


class _Loop(NetworkSelector):
    """Closes what is open at its end: a connection that is closed with something unsent waits for this loop to send it,
    and kafka-python leaves its socket to the collector.
    """

    def close(self) -> None:
        if self._closed:
            return
        self.stop()
        left = [key.fileobj for key in self._selector.get_map().values()]
        super().close()
        for one in left:
            one.close()


class _Client(KafkaNetClient):
    def __init__(self, **options: Any) -> None:
        net = _Loop(**options)
        super().__init__(net, _Manager(net, **options))


def build(settings: KafkaSettings, constructor: Callable[..., None], **options: Any) -> None:
    """Run a constructor of kafka-python where something listens. Raises AccessDenied and BrokerAway.

    Of a refusal kafka-python often sees only that the broker hung up, so that a wrong password may be told by either.
    """
    clients: list[_Client] = []

    def client(**given: Any) -> _Client:
        clients.append(_Client(**given))
        return clients[-1]

    try:
        constructor(**settings.client_options(), **options, kafka_client=client)
    except (kafka_errors.RetriableError, *DENIED) as error:
        refusals = [one._manager.refusal for one in clients]
        for one in clients:
            one.close()
        refusal = next(filter(None, [error if isinstance(error, DENIED) else None, *refusals]), None)
        if refusal is not None:
            raise AccessDenied(f"{type(refusal).__name__}: {refusal}") from error
        raise BrokerAway(settings.bootstrap, signing_in=bool(settings.sasl_mechanism)) from error


def never_create_topics(metadata: Any) -> None:
    """The clients' own option of this name does not reach the requests."""
    metadata.config["allow_auto_create_topics"] = False


@contextmanager
def answered() -> Generator[None]:
    """Raises Unanswered where asking again may help, and AccessDenied."""
    try:
        yield
    except DENIED as error:
        raise AccessDenied(f"{type(error).__name__}: {error}") from error
    except kafka_errors.RetriableError as error:
        raise Unanswered from error
