"""Settings of ingestion, from the environment."""

from __future__ import annotations

from pydantic import Field

from services.ingestion.archive import ROWS_PER_SEGMENT
from services.ingestion.intake import LARGEST_RECORD_BYTES
from shared.runtime.settings import ServiceSettings


class IngestionSettings(ServiceSettings):
    largest_record_bytes: int = Field(default=LARGEST_RECORD_BYTES, ge=1, description="a larger record is rejected")
    rows_per_segment: int = Field(default=ROWS_PER_SEGMENT, ge=1, description="accepted records in one segment")
    local_memory: int = Field(default=4 << 30, ge=0, description="bytes that the embedded broker may hold")
    local_broker_pid: int = Field(default=0, ge=0, description="process id of the embedded broker; 0: there is none")
