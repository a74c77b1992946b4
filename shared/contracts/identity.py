"""Ids derive from causes, so that a replay repeats them; hashes decide who answers."""

from __future__ import annotations

import hashlib


def derived_id(cause: str, name: str, key: str = "", ordinal: int = 0) -> str:
    """The id of the `ordinal`-th event called `name` that `cause` led to for `key`: equal causes give equal ids.

    A SHA-256 name-based UUID (version 8 of RFC 9562), about twice as fast as uuid5 and as collision-free.
    """
    digest = hashlib.sha256(f"{cause}\x1f{name}\x1f{key}\x1f{ordinal}".encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def canonical_text(value: object) -> str:
    """The text of a field's value as an id or key: 7, 7.0 and "7" are one and the same; None is the empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def record_cause(source: str, record_id: str) -> str:
    """The first cause of everything that a record leads to: it depends on no log, offset or process."""
    return derived_id(source, "record", record_id)


def split_hash(rollout_id: str, subject: str) -> float:
    """A uniform number in [0, 1) from (rollout, entity or record id): below the share the candidate answers."""
    digest = hashlib.sha256(f"{rollout_id}\x1f{subject}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)
