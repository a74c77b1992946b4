"""Which topics a process reads: a position in one says nothing of another that has its name since (KIP-516)."""

from __future__ import annotations

from collections.abc import Iterable

from shared.runtime.log import Admin, TopicMissing, TopicPartition


class TopicIds:
    """The id that each topic had when this process began to read it. All methods raise BrokerAway.

    No id comes back: what was fetched before the broker tells the old one is of the old topic. So it is asked after a
    fetch, and only where reading was interrupted, for a topic cannot go while a fetch of it waits and is answered.
    """

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._began: dict[str, str | None] = {}
        self._doubted: set[str] = set()

    def begin(self, topic: str) -> str | None:
        """The id of a topic that is read from now on; None if the broker has no ids."""
        found = self._admin.topic_id(topic)
        if self._began.get(topic) is None:
            self._began[topic] = found
        elif self._began[topic] != found:
            self._doubted.add(topic)  # somebody here has read the one before it
        return found

    def forget(self, topic: str) -> None:
        """Nobody here reads the topic of that name any more, or they begin once more."""
        self._began.pop(topic, None)
        self._doubted.discard(topic)

    def doubt(self) -> None:
        """Reading was interrupted: any of them may be another by now."""
        self._doubted |= self._began.keys()

    def replaced(self, topics: Iterable[str]) -> set[str]:
        """Of topics of which something was fetched: those that are others now. Raises TopicMissing for one gone."""
        doubted = self._doubted.intersection(topics)
        found = {topic for topic in doubted if self._is_another(topic)}
        self._doubted -= doubted
        return found

    def _is_another(self, topic: str) -> bool:
        began = self._began[topic]
        if began is None:
            return False
        now = self._admin.topic_id(topic)
        if now is None:
            raise TopicMissing(TopicPartition(topic, 0))
        return now != began
