"""What does not fit is kept, with its reason, position and bytes."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from shared.contracts.flow import RecordRejected
from shared.contracts.record_fields import Refusal
from shared.contracts.topics import REJECTED
from shared.runtime.step import Publish

KEPT_BYTES = 64 * 1024


def quarantined(
    refusal: Refusal, source: str, topic: str, partition: int, offset: int, data: bytes, key: str, time_ms: int
) -> Publish:
    """The rejection of the record at `topic/partition/offset`: of its bytes the first 64 kB, the length and sha256.

    Named by that sha256, for records with one id may differ in what is wrong with them.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    event = RecordRejected(
        source=source,
        topic=topic,
        partition=partition,
        offset=offset,
        reason=refusal.reason,
        detail=refusal.detail,
        data_base64=b64encode(data[:KEPT_BYTES]).decode(),
        length=len(data),
        sha256=sha256,
    )
    return Publish(REJECTED, key, event, time_ms, name=sha256)
