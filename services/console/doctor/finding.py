"""What a check finds, and what it says when it cannot be made."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from shared.contracts.errors import HeadraceError

Seen = TypeVar("Seen")


class Check(StrEnum):
    """Everything that is looked into, in the order in which it is told."""

    BROKER = "broker"
    LOG = "log"
    TOPICS = "topics"
    RETENTION = "retention"
    SERVICES = "services"
    TASKS = "tasks"
    LOST_RECORDS = "lost records"
    COPIES = "copies"
    CLOCKS = "clocks"
    DISKS = "disks"
    STATE = "state"
    CODE = "code"
    DEAD_LETTERS = "dead letters"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with `subject`: what happened, why it matters, what to do."""

    check: Check
    subject: str
    happened: str
    matters: str
    mend: str


@dataclass(frozen=True, slots=True)
class NotMade:
    """A check that could not be made, or not to its end, and why."""

    check: Check
    reason: str


@dataclass(slots=True)
class Diagnosis:
    """`made`: the checks that were. `blind`: there was nothing at all to look at."""

    blind: bool = False
    made: list[Check] = field(default_factory=list[Check])
    findings: list[Finding] = field(default_factory=list[Finding])
    not_made: list[NotMade] = field(default_factory=list[NotMade])


@dataclass(frozen=True, slots=True)
class Unseen:
    """Stands where a looker could not see, with the reason."""

    reason: str


class CannotLook(HeadraceError):
    """A check lacks what it needs."""


def seen(what: Seen | Unseen) -> Seen:
    """What was seen. Raises CannotLook."""
    if isinstance(what, Unseen):
        raise CannotLook(what.reason)
    return what
