"""Where the processes of a local platform listen, and the environment that tells them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from deploy.ports import free_ports, is_free
from shared.contracts.errors import HeadraceError
from shared.runtime.settings import DEFAULT_PORTS

DEFAULT_BROKER_PORT = 9092
# The registry founds the platform, so it comes first; the console last, for it asks the others.
START_ORDER = ("registry", "ingestion", "features", "serving", "monitoring", "training", "console")

ONE_EACH: Mapping[str, int] = MappingProxyType({})


class PortsTaken(HeadraceError):
    """Ports that the platform wants are held by something else."""

    def __init__(self, taken: Mapping[str, int]) -> None:
        listed = ", ".join(f"{port} ({name})" for name, port in taken.items())
        super().__init__(
            f"These ports on 127.0.0.1 are taken: {listed}. Stop what holds them (another `headrace up`?), or choose "
            "others with --port-base"
        )


def process_names(instances: Mapping[str, int]) -> list[str]:
    """All processes in the order of their start: a service's first instance is called like it, the next `service-1`."""
    return [
        f"{service}-{number}" if number else service
        for service in START_ORDER
        for number in range(instances.get(service, 1))
    ]


@dataclass(frozen=True, slots=True)
class Ports:
    """Of each process by name, and of the embedded broker."""

    services: Mapping[str, int]
    broker: int

    @property
    def urls(self) -> dict[str, str]:
        return {name: f"http://127.0.0.1:{port}" for name, port in self.services.items()}


def any_free_ports(instances: Mapping[str, int] = ONE_EACH) -> Ports:
    """Ports that nothing holds now, for platforms side by side."""
    names = [*DEFAULT_PORTS, *_further(instances)]
    found = free_ports(len(names) + 1)
    return Ports(dict(zip(names, found, strict=False)), found[-1])


def ports_from(base: int | None, instances: Mapping[str, int] = ONE_EACH, *, embedded: bool) -> Ports:
    """The default ports, or those from `base` on: console, the services, the broker. Raises PortsTaken.

    Further instances of a service get any ports that are free.
    """
    if base is None:
        services, broker = dict(DEFAULT_PORTS), DEFAULT_BROKER_PORT
    else:
        services = {name: base + i for i, name in enumerate(DEFAULT_PORTS)}
        broker = base + len(services)
    wanted = {**services, "broker": broker} if embedded else services
    taken = {name: port for name, port in wanted.items() if not is_free(port)}
    if taken:
        raise PortsTaken(taken)
    further = _further(instances)
    return Ports({**services, **dict(zip(further, free_ports(len(further)), strict=True))}, broker)


def _further(instances: Mapping[str, int]) -> list[str]:
    return [name for name in process_names(instances) if name not in DEFAULT_PORTS]


def environment(
    process: str,
    inherited: Mapping[str, str],
    *,
    ports: Ports,
    data: Path,
    bootstrap: str,
    broker_is_ours: bool,
    embedded_pid: int | None,
) -> dict[str, str]:
    """The environment of one process. A broker of our own takes no settings of somebody else's cluster."""
    service, _, number = process.partition("-")
    shared = any(name.partition("-")[0] == service and name != service for name in ports.services)
    kept = {
        name: value for name, value in inherited.items() if not (broker_is_ours and name.startswith("HEADRACE_KAFKA_"))
    }
    own = {
        "HEADRACE_DATA": str(data),
        "HEADRACE_HOST": "127.0.0.1",
        "HEADRACE_PORT": str(ports.services[process]),
        "HEADRACE_INSTANCE": number or "0",
        "HEADRACE_SHARE": "machine" if shared else "none",
        "HEADRACE_SERVICE_URLS": json.dumps(ports.urls),
        "HEADRACE_KAFKA_BOOTSTRAP": bootstrap,
        "HEADRACE_KAFKA_CLIENT_ID": f"headrace-{process}",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    if embedded_pid is not None:
        own |= {"HEADRACE_KAFKA_EMBEDDED": "true", "HEADRACE_LOCAL_BROKER_PID": str(embedded_pid)}
    return kept | own
