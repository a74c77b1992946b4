"""What the runtime costs, beside bare kafka-python on the same Apache Kafka: `make bench-runtime`.

Parts: `throughput` (records a second and processor time of a record, at several batch sizes, as ratios of medians of
rounds in turn), `profile` (where a record's time goes), `memory` (over many records), `platform` (on both brokers:
from publication to prediction, the rate of the whole chain, what idling costs). docs/performance.md says more.

In the report parts of one commit add up, each written when it ends; a part that is run again takes its own place.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from deploy.local.options import BrokerKind
from tests.benchmarks import _memory, _platform, _stages, _throughput
from tests.reports import Report

Part = Callable[[argparse.Namespace, Report], None]
PARTS: Mapping[str, Part] = {
    "throughput": _throughput.throughput,
    "profile": _stages.profile,
    "memory": _memory.memory,
    "platform": _platform.platform,
}


def options() -> argparse.ArgumentParser:
    """The arguments; `make bench-runtime ARGS=...` hands them on."""
    parser = argparse.ArgumentParser(description="What the runtime costs, beside bare kafka-python")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to run")
    parser.add_argument("--rounds", type=int, default=5, help="of throughput, after one to warm up")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 100, 1_000, 10_000], help="batch sizes")
    parser.add_argument("--records", type=int, default=5_000_000, help="over which memory is looked at")
    parser.add_argument("--brokers", type=BrokerKind, nargs="+", default=list(BrokerKind), help="of the platform")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each latency of the platform")
    parser.add_argument("--chain", type=int, default=20_000, help="records through the whole chain")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def main() -> None:
    given = options().parse_args()
    report = Report("bench-runtime", given.seed)
    for name in given.only:
        print(f"\n{name}", flush=True)
        PARTS[name](given, report)
        print(f"\n{report.write_part(name)}")


if __name__ == "__main__":
    main()
