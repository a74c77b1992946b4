"""A request that gets no prediction, as it is told."""

from __future__ import annotations

from typing import Any

from shared.contracts.errors import HeadraceError


class Refused(HeadraceError):
    """`status`: of HTTP. `details`: what a program may want to know besides the message."""

    def __init__(self, status: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status, self.details = status, details

    @property
    def body(self) -> dict[str, Any]:
        return {"error": str(self), **self.details}
