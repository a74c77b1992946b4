"""How good the decisions are, on streams whose truth is known: `make bench-decisions`.

Parts: `losses` (false alarms and delays of the loss monitor), `seasons` (the same on residuals, of losses that have a
season), `inputs` (of the feature monitor on numbers), `mixed` (on inputs of all kinds), `judging` (wrong promotions,
and how long a verdict takes), `gating` (candidates that turn out harmful), `policies` (what retraining by evidence
makes of real files), `explaining` (whether the input that moved is named first), `estimating` (how far accuracy without
labels is off). River's ADWIN stands beside the monitors. The product's own methods run, no copies of them; every figure
has its 95 % interval, and a goal is met where that does not lie beyond it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.benchmarks import (
    _estimating,
    _explaining,
    _gating,
    _inputs,
    _judging,
    _losses,
    _mixed,
    _policy,
    _seasons,
)
from tests.reports import REPORTS, Report, Row, read

Part = Callable[[argparse.Namespace, Report], None]
PARTS: Mapping[str, Part] = {
    "losses": _losses.losses,
    "seasons": _seasons.seasons,
    "inputs": _inputs.inputs,
    "mixed": _mixed.mixed,
    "judging": _judging.judging,
    "gating": _gating.gating,
    "policies": _policy.policies,
    "explaining": _explaining.explaining,
    "estimating": _estimating.estimating,
}


def options() -> argparse.ArgumentParser:
    """The arguments; `make bench-decisions ARGS=...` hands them on."""
    parser = argparse.ArgumentParser(description="How good the decisions are, on streams whose truth is known")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to run")
    parser.add_argument("--millions", type=float, default=100.0, help="outcomes without a change, in millions")
    parser.add_argument("--records", type=float, default=20.0, help="of 50 inputs without a change, in millions")
    parser.add_argument("--runs", type=int, default=2_000, help="of each delay")
    parser.add_argument("--rollouts", type=int, default=20_000, help="of candidates that are no better, of each kind")
    parser.add_argument("--estimates", type=int, default=80, help="models whose accuracy is estimated")
    parser.add_argument("--stretches", type=int, default=95, help="of the real files, whose candidates meet the gate")
    parser.add_argument("--starts", type=int, default=3, help="of the real files, from which each policy is played")
    parser.add_argument("--rows", type=int, help="of the real files, with which policies are played; default: all")
    parser.add_argument("--permutations", type=int, default=20, help="of a real file, in which nothing changes")
    parser.add_argument("--adwin", type=float, default=0.05, help="share of the outcomes that ADWIN sees as well")
    parser.add_argument("--figures", type=Path, default=REPORTS / "decisions", help="where the plots go")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def run(given: argparse.Namespace, report: Report, done: Callable[[str], object] = lambda part: None) -> None:
    """All parts asked for; `done` is told after each of them."""
    for name in given.only:
        print(f"\n{name}", flush=True)
        PARTS[name](given, report)
        done(name)


def main() -> None:
    """Simulate, print, write the report, in which parts that were run on one commit add up, and draw it."""
    given = options().parse_args()
    report = Report("bench-decisions", given.seed)
    written: list[Path] = []
    run(given, report, lambda part: written.append(report.write_part(part)))
    told = read(written[-1])
    rows = [] if told is None else [Row(**{name: row[name] for name in Row.__slots__}) for row in told["rows"]]
    # Only here, for the short version in the tests draws nothing.
    from tests.benchmarks import _plots

    for file in (written[-1], *_plots.drawn(given.seed, rows, given.figures)):
        print(file)


if __name__ == "__main__":
    main()
