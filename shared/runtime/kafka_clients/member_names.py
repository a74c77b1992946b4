"""What the members of a group tell each other through the broker: names and a membership, no partitions."""
# The stubs are of kafka-python 2.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from uuid import uuid4

from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription


class NamesOfMembers(AbstractPartitionAssignor):
    """Assigns no partitions: tells every member who the others are. Who owns what, each works out from that.

    A member says its name and the membership that it knows; it is told a membership, as JSON of `Members`.
    """

    version = 0

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self.told: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return "headrace-members"

    def metadata(self, topics: Any) -> Any:
        said = {"instance": self._instance, "knows": self.told}
        return ConsumerProtocolSubscription(self.version, sorted(topics), json.dumps(said).encode())

    def assign(self, cluster: Any, members: Any) -> dict[str, Any]:
        said = [json.loads(bytes(member.metadata.user_data)) for member in members]
        told = json.dumps(_membership(said)).encode()
        return {member.member_id: ConsumerProtocolAssignment(self.version, [], told) for member in members}

    def on_assignment(self, assignment: Any, generation: Any) -> None:
        self.told = json.loads(bytes(assignment.user_data))


def _membership(said: list[dict[str, Any]]) -> dict[str, Any]:
    """What all are told: the membership that they know, if nobody came or went (rebalances have other causes too)."""
    names = sorted({one["instance"] for one in said})
    known = [one["knows"] for one in said if one["knows"] is not None]
    if len(known) == len(said) and all(one == known[0] for one in known) and known[0]["names"] == names:
        return known[0]
    # What most of them know: one that was away knows an older membership, one that came first a newer one.
    before = Counter(tuple(one["names"]) for one in known).most_common(1)
    return {"id": str(uuid4()), "names": names, "before": before[0][0] if before else ()}
