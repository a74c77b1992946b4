"""What `headrace up`, `replay` and `demo` were asked for: plain values, so that the command line stays light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class BrokerKind(StrEnum):
    """EMBEDDED: in memory, one machine. KAFKA: Apache Kafka from Maven artifacts, which keeps its data."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """`data`: the folder of state, artifacts and the broker's data. `fresh`: empty it first.

    `port_base`: the port of the console, which those of the services follow; None: the default ports. `instances`: of
    which services more than one process runs.
    """

    broker: BrokerKind = BrokerKind.EMBEDDED
    data: Path = Path(".headrace")
    fresh: bool = False
    definitions: tuple[Path, ...] = ()
    verbose: bool = False
    port_base: int | None = None
    json: bool = False
    instances: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """`pace`: lockstep, max, or a factor such as 100x. `label_delay`: records (`48`) or a duration (`30m`).

    `block`: records of a lockstep block; `limit`: so many records of the file at most. `console`: the running platform
    to publish into; `local`: one that the replay starts (with `broker`, `data`, `instances`) and stops; `stay`: only
    on Ctrl-C.
    """

    definitions: Path
    file: Path
    local: bool = False
    broker: BrokerKind = BrokerKind.EMBEDDED
    label_delay: str | None = None
    pace: str = "lockstep"
    block: int | None = None
    limit: int | None = None
    json: bool = False
    data: Path | None = None
    console: str = "http://127.0.0.1:8100"
    stay: bool = False
    instances: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`data` None: a folder of its own that is removed afterwards. `stay`: the platform runs on until Ctrl-C."""

    seed: int = 7
    bad_candidate: bool = False
    no_drift: bool = False
    json: bool = False
    port_base: int | None = None
    data: Path | None = None
    stay: bool = False
