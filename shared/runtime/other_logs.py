"""What is said where the log of the broker is not the one that state belongs to, with what mends it."""

from __future__ import annotations

from shared.contracts.errors import ForeignLog


def foreign_log(what: str, held: str, found: str) -> ForeignLog:
    """The error for state that belongs to another log, with the command that mends it."""
    return ForeignLog(
        f"{what} was made beside log {held}, but the broker holds log {found}. The two never mix: "
        "point HEADRACE_KAFKA_BOOTSTRAP at the broker that it belongs to, or set it aside with "
        "`headrace up --fresh` (and --broker kafka, if that is the broker); beside a cluster of your own, by moving "
        "the folder `state` of HEADRACE_DATA away."
    )


def forgotten_log(why: str, log: str) -> ForeignLog:
    """The error for a broker that no longer holds our log, with the command that mends it."""
    return ForeignLog(
        f"{why}: the broker has forgotten {log}. Nothing goes on from old positions in another log. If it is the "
        "embedded broker, it forgets all when it stops: start again with `headrace up --fresh`; otherwise point "
        "HEADRACE_KAFKA_BOOTSTRAP at the broker that holds the log"
    )
