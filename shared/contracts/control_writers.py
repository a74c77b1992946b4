"""Who says what in `control.v1`: the registry decides, serving tells what it can, monitoring judges, training works.

Features, ingestion and monitoring tell what they have put into the object store.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts import control as c
from shared.contracts.envelope import Event
from shared.contracts.errors import HeadraceError


class NotToBeSaid(HeadraceError):
    """A service that would say what is for another to say."""

    def __init__(self, service: str, event: Event) -> None:
        super().__init__(
            f"{service} may not write {type(event).__name__} into control.v1: leave it to the service that decides it, "
            "or add it to CONTROL_WRITERS"
        )


_OF_EVERY_SERVICE = (c.ReleaseDeclared,)
CONTROL_WRITERS: Mapping[str, tuple[type[Event], ...]] = {
    "console": (
        c.ApplyDefinitions, c.RetrainModel, c.ApproveVersion, c.PromoteVersion, c.RollBackModel, c.Tick,
        c.DeadLetterReplayed, *_OF_EVERY_SERVICE,
    ),
    "features": (c.TableCopied, *_OF_EVERY_SERVICE),
    "ingestion": (c.SegmentWritten, *_OF_EVERY_SERVICE),
    "monitoring": (
        c.DriftDetected, c.InputsMoved, c.QualityMeasured, c.VerdictReached, c.VerdictRevised, c.SegmentWritten,
        *_OF_EVERY_SERVICE,
    ),
    "registry": (
        c.PlatformFounded, c.Tick, c.DefinitionsApplied, c.DefinitionsRefused, c.CommandRefused, c.VersionRegistered,
        c.VersionApproved, c.VersionWithdrawn, c.RolloutStarted, c.RolloutAdvanced, c.RolloutEnded, c.VersionPromoted,
        c.ModelRolledBack, c.WatchEnded, *_OF_EVERY_SERVICE,
    ),
    "serving": (c.ReplicaReady, c.ReplicaFailed, c.ReplicaSeen, *_OF_EVERY_SERVICE),
    "training": (
        c.RunRequested, c.RunStarted, c.RunProgressed, c.RunFinished, c.RunFailed, c.CommandRefused,
        *_OF_EVERY_SERVICE,
    ),
}  # fmt: skip


def may_say(service: str, event: Event) -> None:
    """Raises NotToBeSaid for an event that a service may not write into `control.v1`."""
    if not isinstance(event, CONTROL_WRITERS.get(service, ())):
        raise NotToBeSaid(service, event)
