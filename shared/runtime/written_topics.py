"""The topics that a process writes: created as the definitions say, and never with other partitions."""

from __future__ import annotations

from shared.contracts.errors import HeadraceError
from shared.contracts.topics import dead_letters
from shared.contracts.topology import Definitions, TaskSpec
from shared.runtime.log import Admin
from shared.runtime.topic_settings import topic_config


class WrongPartitions(HeadraceError):
    """A topic that exists with another partition count than its definition says."""

    def __init__(self, topic: str, found: int, expected: int) -> None:
        super().__init__(
            f"Topic {topic} has {found} partitions, but its definition says {expected}: "
            f"set `partitions: {found}` in the definition under a new name, or delete the topic"
        )


class WrittenTopics:
    """`there`: those that are known to be there."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self.there: set[str] = set()

    def ensure(self, spec: TaskSpec, definitions: Definitions) -> None:
        """All that a task writes. Raises WrongPartitions, BrokerAway and TopicRefused."""
        topics = {output.topic: output.partitions for output in spec.outputs}
        topics[dead_letters(spec.service)] = 1
        if spec.head:
            topics[spec.topic] = definitions.partitions[spec.topic]
        for topic, partitions in topics.items():
            self._ensure(topic, partitions, definitions)

    def _ensure(self, topic: str, partitions: int, definitions: Definitions) -> None:
        found = self._admin.partitions(topic)
        if found is None:
            self._admin.create(topic, partitions, topic_config(topic, definitions))
        elif found != partitions:
            raise WrongPartitions(topic, found, partitions)
        self.there.add(topic)
