"""The names of the services, in the order in which records pass them."""

from __future__ import annotations

SERVICES = ("ingestion", "features", "serving", "monitoring", "training", "registry")
WITH_CONSOLE = (*SERVICES, "console")
