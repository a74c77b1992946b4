"""Where a platform is: what a look begins with, and the look itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.console.doctor.facts import Facts, Limits, LogLook
from services.console.doctor.finding import Unseen
from services.console.doctor.log_look import look_at_log
from services.console.doctor.service_looks import look_at_services
from services.console.doctor.state_looks import look_at_copies, look_at_state
from shared.contracts.errors import HeadraceError
from shared.runtime.about import Disk, disk_of
from shared.runtime.log import Broker, LogError


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """`data`: the folder of state of services on this machine; `logs`: of their logs; `store`: the object store."""

    broker: Broker
    bootstrap: str
    services: Mapping[str, str]
    data: Path
    store: str
    logs: Path | None = None
    limits: Limits = field(default_factory=Limits)


def look(where: Whereabouts, apart_s: float, sleep: Callable[[float], None] = time.sleep) -> Facts:
    """Everything that can be seen, the services twice, so long apart."""
    before, began_s = look_at_services(where.services, where.logs), time.monotonic()
    log = _log(where.broker)
    sleep(max(0.0, apart_s - (time.monotonic() - began_s)))
    services = look_at_services(where.services, where.logs)
    log_ids = [look.progress["log_id"] for look in services.values() if look.progress and look.progress["log_id"]]
    log_id = log.history.log_id if isinstance(log, LogLook) else (log_ids[0] if log_ids else None)
    folders = look_at_state(where.data)
    copies, store_fault = look_at_copies(where.store, log_id, ours=not isinstance(folders, Unseen))
    return Facts(
        where.bootstrap, time.time_ns() // 1_000_000, apart_s, services, before, log, copies, store_fault, folders,
        _disks(where, isinstance(folders, Unseen)), where.limits,
    )  # fmt: skip


def _log(broker: Broker) -> LogLook | Unseen:
    try:
        return look_at_log(broker)
    except (LogError, HeadraceError) as error:
        return Unseen(str(error))


def _disks(where: Whereabouts, no_state: bool) -> dict[str, Disk]:
    """Those of this machine that hold state or objects."""
    folders = [] if no_state else [where.data]
    folders += [Path(where.store)] if "://" not in where.store and Path(where.store).is_dir() else []
    return {str(folder): disk_of(folder) for folder in folders}
