"""Whether to believe that a batch begins elsewhere than the one before it ended."""

from __future__ import annotations

from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_wire import DAMAGE_TRIES


class Beginnings:
    """Where a batch begins elsewhere than the one before it ended, as many answers must say so as for any damage.

    It may: behind records that compaction took, and around a position that was sought. But no checksum covers where a
    batch stands (format 2, https://kafka.apache.org/documentation/#recordbatch), and records under offsets that are not
    theirs would be taken twice, or hide others.
    """

    def __init__(self) -> None:
        self._told: dict[WirePartition, tuple[tuple[int, int], int]] = {}
        self._compacted: set[WirePartition] = set()  # where a gap was proved; each would cost two fetches more

    def believes(self, wire: WirePartition, reached: int, begins: int) -> bool:
        """Whether a batch may be read that begins at `begins` where the one at `reached` was to come."""
        if begins == reached or (begins > reached and wire in self._compacted):
            return True
        said, times = self._told.pop(wire, ((-1, -1), 0))
        times = times + 1 if said == (reached, begins) else 1
        if times < DAMAGE_TRIES:
            self._told[wire] = (reached, begins), times
            return False
        if begins > reached:
            self._compacted.add(wire)
        return True
