"""What a run of rounds came to: lines for people, and the report that programs read."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from deploy.local.platform import ROOT
from tests.chaos.crash_points import Point
from tests.chaos.schedule import Kind
from tests.chaos.strike_round import Round

REPORT = ROOT / "build" / "reports" / "chaos.json"


def again(found: Round) -> str:
    """The command that plays a round again."""
    return f"make chaos KILLS={found.kills} SEED={found.seed}"


def failures(rounds: Sequence[Round]) -> list[str]:
    """What did not hold, each with the command that plays its round again."""
    return [
        f"seed {one.seed}: {text} [{again(one)}]"
        for one in rounds
        for text in (*(f"did not fire: {missed}" for missed in one.missed), *one.violations)
    ]


def show(rounds: Sequence[Round], seconds: float, terminal: Console) -> None:
    """Strikes by kind, by service and by crash point, and what came of them."""
    dealt = [one for found in rounds for one in found.dealt if not one.failure]
    table = Table("strike", "dealt", "mean s")
    for kind in Kind:
        mine = [one for one in dealt if one.strike.kind is kind]
        points = [None, *Point] if kind is Kind.CRASH else [None]
        for point in points:
            chosen = [one for one in mine if point in (None, one.strike.point)]
            if chosen:
                mean = sum(one.seconds for one in chosen) / len(chosen)
                table.add_row(f"{'  ' if point else ''}{point or kind}", str(len(chosen)), f"{mean:.1f}")
    terminal.print(table)
    by_service = Counter(victim.partition("-")[0] for one in dealt for victim in one.strike.victims)
    terminal.print("struck: " + ", ".join(f"{name} {count}" for name, count in by_service.most_common()))
    spent = Counter[str]()
    for one in rounds:
        spent.update(one.spent_s)
    terminal.print("where the time went: " + ", ".join(f"{what} {s:.0f} s" for what, s in spent.items()))
    total = Counter[str]()
    for one in rounds:
        total.update(
            deaths=one.deaths, published=one.published, accepted=one.accepted, versions=one.versions,
            repeated=one.repeated,
        )  # fmt: skip
    terminal.print(
        f"{total['deaths']:,} processes killed in {len(dealt):,} strikes, each with work in hand; "
        f"{total['published']:,} records published, {total['accepted']:,} accepted, {total['versions']} versions of a "
        f"model; {total['repeated']:,} events said again and skipped; {len(failures(rounds))} failures; {seconds:.0f} s"
    )


def write(rounds: Sequence[Round], seed: int, seconds: float, commit: str, into: Path = REPORT) -> None:
    """The report that documents quote."""
    dealt = [one for found in rounds for one in found.dealt if not one.failure]
    figures: list[tuple[str, float, str, float | None, bool | None]] = [
        ("processes killed", sum(one.deaths for one in rounds), "processes", None, None),
        ("strikes", len(dealt), "strikes", None, None),
        ("planned faults that did not fire", sum(len(one.missed) for one in rounds), "strikes", 0, None),
        ("violations", sum(len(one.violations) for one in rounds), "violations", 0, None),
        ("records published", sum(one.published for one in rounds), "records", None, None),
        ("records accepted", sum(one.accepted for one in rounds), "records", None, None),
        ("events said again and skipped", sum(one.repeated for one in rounds), "events", None, None),
        ("rounds", len(rounds), "rounds", None, None),
    ]
    for kind in Kind:
        figures.append((str(kind), sum(one.strike.kind is kind for one in dealt), "strikes", None, None))
    for point in Point:
        figures.append((f"crash: {point}", sum(one.strike.point is point for one in dealt), "strikes", None, None))
    rows = [
        {
            "name": name, "value": value, "low": None, "high": None, "unit": unit, "goal": goal,
            "holds": None if goal is None else value == goal,
        }
        for name, value, unit, goal, _ in figures
    ]  # fmt: skip
    into.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "target": "chaos", "commit": commit, "seed": seed, "seconds": round(seconds, 1),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}", "rows": rows,
    }  # fmt: skip
    into.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


def commit_at_hand() -> str:
    """What is checked out: asked at the start, for a long run outlives many a commit."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"
