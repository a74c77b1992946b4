"""How events speak of large things."""

from __future__ import annotations

from shared.contracts.contract import Contract


class Reference(Contract):
    """A large thing in the object store."""

    uri: str
    sha256: str
    bytes: int
