"""Settings of features: those that all services share."""

from __future__ import annotations

from pydantic import Field

from shared.contracts.definitions import DAY_MS
from shared.runtime.settings import ServiceSettings
from shared.runtime.topic_settings import MOST_BETWEEN_COPIES_MS

ENTRIES_BETWEEN_COPIES = 10_000
COPY_TABLES_EVERY_S = DAY_MS / 1_000
TABLE_COPIES_APART_S = 60.0  # each copy is an entry of control.v1, which is never expired


class FeaturesSettings(ServiceSettings):
    """How often tables are copied; windows and their lives are declared with each view."""

    entries_between_table_copies: int = Field(
        default=ENTRIES_BETWEEN_COPIES,
        ge=1,
        description="a partition of a table is copied into the object store after so many entries of its log, at least "
        "as many as it has rows",
    )
    table_copies_apart_s: float = Field(
        default=TABLE_COPIES_APART_S,
        ge=0,
        le=MOST_BETWEEN_COPIES_MS / 1_000,
        description="and at the earliest so many seconds after its last copy, however fast its log grows",
    )
    copy_tables_every_s: float = Field(
        default=COPY_TABLES_EVERY_S,
        gt=0,
        le=MOST_BETWEEN_COPIES_MS / 1_000,
        description="and after so many seconds at the latest, if its log has grown at all; at most three days, for the "
        "log is kept for seven",
    )
