"""Who may change something over HTTP: anybody on loopback, elsewhere whoever brings the token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from typing import Annotated

from fastapi import Header, HTTPException

from shared.runtime.settings import ServiceSettings


def asks_token(settings: ServiceSettings) -> Callable[[str], None]:
    """A dependency for routes that change something. Off loopback it asks for `Authorization: Bearer TOKEN`."""

    def check(authorization: Annotated[str, Header()] = "") -> None:
        if is_loopback(settings.host) and not settings.token:
            return
        if not settings.token:
            raise HTTPException(
                403, f"this service listens on {settings.host} and has no token: set HEADRACE_TOKEN and start it again"
            )
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), settings.token.encode()):
            raise HTTPException(
                401,
                "send `Authorization: Bearer TOKEN` with the service's HEADRACE_TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )

    return check


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
