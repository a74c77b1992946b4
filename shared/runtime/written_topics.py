"""The topics that a process writes: created as the definitions say, and never with other partitions."""

from __future__ import annotations

from shared.contracts.topics import dead_letters
from shared.contracts.topology import Definitions, TaskSpec
from shared.runtime.log import Admin
from shared.runtime.topic_settings import topic_config

# What a person can do about a topic with another partition count than its definition says.
HOW_TO_MEND = (
    "add partitions to it if it has too few, or delete the topic, with what is in it, and it is made anew as defined"
)


def wrong_partitions(topic: str, found: int, expected: int) -> str:
    """What is said of such a topic."""
    return f"Topic {topic} has {found} partitions, but its definition says {expected}: {HOW_TO_MEND}"


class WrittenTopics:
    """`there`: those that are known to be there. `wrong`: what is to be said of those with other partitions."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self.there: set[str] = set()
        self.wrong: dict[str, str] = {}
        self._looked_at: set[str] = set()

    def look_again(self, at_all: bool) -> None:
        """Ask once more for each topic that was wrong, or for all of them: once, however many tasks write it."""
        self._looked_at = set() if at_all else self._looked_at - self.wrong.keys()

    def ensure(self, spec: TaskSpec, definitions: Definitions) -> str:
        """All that a task writes; what is wrong with any of it, if anything. Raises BrokerAway and TopicRefused."""
        topics = {output.topic: output.partitions for output in spec.outputs}
        topics[dead_letters(spec.service)] = 1
        if spec.head:
            topics[spec.topic] = definitions.partitions[spec.topic]
        for topic, partitions in topics.items():
            if topic not in self._looked_at:
                self._ensure(topic, partitions, definitions)
                self._looked_at.add(topic)
        return "; ".join(self.wrong[topic] for topic in topics if topic in self.wrong)

    def _ensure(self, topic: str, partitions: int, definitions: Definitions) -> None:
        found = self._admin.partitions(topic)
        if found is not None and found != partitions:
            self.wrong[topic] = wrong_partitions(topic, found, partitions)
            self.there.discard(topic)
            return
        if found is None:
            self._admin.create(topic, partitions, topic_config(topic, definitions))
        self.wrong.pop(topic, None)
        self.there.add(topic)
