"""What a run of rounds came to: lines for people, and the report that programs read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.crash_points import Point
from tests.chaos.schedule import Kind
from tests.chaos.strike_round import Round
from tests.chaos.striker import Dealt
from tests.reports import Row, told
from tests.reports import write as write_report

ENOUGH_KILLS = 100  # for what a run must have met to prove anything
MANY_KILLS = 1_000  # in a round alone no version may take the place of another
AWAKE_A_HUNDRED = 2
COUNTED = (
    "deaths", "published", "accepted", "acknowledged", "tried_again", "asked", "answered", "commands", "versions",
    "rollouts", "promoted", "replaced", "rolled_back", "returned", "repeated",
)  # fmt: skip


def again(found: Round) -> str:
    """The command that plays a round again."""
    return f"make chaos KILLS={found.kills} SEED={found.seed}"


def failures(rounds: Sequence[Round]) -> list[str]:
    """What did not hold, each with the command that plays its round again."""
    return [
        f"seed {one.seed}: {text} [{again(one)}]"
        for one in rounds
        for text in (*(f"did not fire: {missed}" for missed in one.missed), *_idle(one), *one.violations)
    ]


def shortfalls(rounds: Sequence[Round]) -> list[str]:
    """What a run of a hundred kills or more has to have met, and did not: it proves too little."""
    kills, total = sum(one.kills for one in rounds), _total(rounds)
    if kills < ENOUGH_KILLS:
        return []
    wanted = {
        "owners thought dead that woke up": (_awake(rounds), kills // ENOUGH_KILLS * AWAKE_A_HUNDRED),
        "versions promoted in the place of another": (total["replaced"], 1),
        "records acknowledged over HTTP": (total["acknowledged"], 1),
        "predictions answered over HTTP": (total["answered"], 1),
        "versions rolled back because a person asked": (total["returned"], kills // MANY_KILLS),
    }
    return [
        f"{what}: {found}, and at least {least} in {kills} kills are wanted"
        for what, (found, least) in wanted.items()
        if found < least
    ]


def show(rounds: Sequence[Round], seconds: float, terminal: Console) -> None:
    """Strikes by kind, by service and by crash point, and what came of them."""
    dealt, total, depth = _hits(rounds), _total(rounds), _depth(rounds)
    terminal.print(_table(rounds))
    by_service = Counter(victim.partition("-")[0] for one in dealt for victim in one.strike.victims)
    terminal.print("struck: " + ", ".join(f"{name} {count}" for name, count in by_service.most_common()))
    spent = Counter[str]()
    for one in rounds:
        spent.update(one.spent_s)
    terminal.print("where the time went: " + ", ".join(f"{what} {s:.0f} s" for what, s in spent.items()))
    terminal.print(
        f"{total['deaths']:,} processes killed in {len(dealt):,} strikes; of the victims {depth['at work']:,} had "
        f"something begun and not sent or answered, {depth['waiting']:,} only input that stood in their logs, "
        f"{depth['at a point']:,} died at a named point; {depth['tried again']:,} times nobody had anything, "
        "which is no strike"
    )
    terminal.print(
        f"{_awake(rounds)} owners thought dead woke up, {sum(map(bool, _said(rounds)))} of them said "
        f"{sum(_said(rounds))} events again; {total['repeated']:,} events in all were said again and skipped"
    )
    terminal.print(
        f"{total['published']:,} records published, {total['accepted']:,} accepted; over HTTP "
        f"{total['acknowledged']:,} acknowledged ({total['tried_again']:,} tries more), {total['answered']:,} of "
        f"{total['asked']:,} questions answered, {total['commands']:,} commands"
    )
    terminal.print(
        f"{total['versions']} versions of a model, {total['rollouts']} rollouts, {total['promoted']} promotions "
        f"({total['replaced']} in the place of another), {total['rolled_back']} rolled back "
        f"({total['returned']} because a person asked)"
    )
    terminal.print(f"{len(failures(rounds))} failures; {seconds:.0f} s", markup=False)
    for text in shortfalls(rounds):
        terminal.print(f"TOO LITTLE {text}", markup=False)


def write(rounds: Sequence[Round], seed: int, seconds: float, commit: str, into: Path | None = None) -> None:
    """The report that documents quote."""
    dealt, total, depth = _hits(rounds), _total(rounds), _depth(rounds)
    kills = sum(one.kills for one in rounds)
    whole, many = kills >= ENOUGH_KILLS, kills >= MANY_KILLS
    rows = [
        _row("processes killed", total["deaths"], "processes"),
        _row("strikes", len(dealt), "strikes"),
        _row("planned faults that did not fire", sum(len(one.missed) for one in rounds), "strikes", most=0),
        _row("strikes with nothing in hand", sum(len(_idle(one)) for one in rounds), "strikes", most=0),
        _row("violations", sum(len(one.violations) for one in rounds), "violations", most=0),
        _row("victims with something begun and not sent or answered", depth["at work"], "processes"),
        _row("victims with only input that stood in their logs", depth["waiting"], "processes"),
        _row("victims at a named point", depth["at a point"], "processes"),
        _row("times that nobody had anything in hand, not counted", depth["tried again"], "times"),
        _row("records published", total["published"], "records"),
        _row("records accepted", total["accepted"], "records"),
        _row("records acknowledged over HTTP", total["acknowledged"], "records", least=1 if whole else None),
        _row("questions asked over HTTP", total["asked"], "requests"),
        _row("predictions answered over HTTP", total["answered"], "requests", least=1 if whole else None),
        _row("commands over HTTP", total["commands"], "commands"),
        _row("events said again and skipped", total["repeated"], "events"),
        _row(
            "owners thought dead that woke up", _awake(rounds), "strikes",
            least=kills // ENOUGH_KILLS * AWAKE_A_HUNDRED if whole else None,
        ),
        _row("of these, who said something again that was skipped", sum(map(bool, _said(rounds))), "strikes"),
        _row("versions of a model", total["versions"], "versions"),
        _row("rollouts", total["rollouts"], "rollouts"),
        _row("versions promoted", total["promoted"], "versions"),
        _row(
            "versions promoted in the place of another", total["replaced"], "versions", least=1 if whole else None
        ),
        _row("rolled back", total["rolled_back"], "versions"),
        _row(
            "rolled back because a person asked", total["returned"], "versions",
            least=kills // MANY_KILLS if many else None,
        ),
        _row("rounds", len(rounds), "rounds"),
        *(_row(str(kind), sum(one.strike.kind is kind for one in dealt), "strikes") for kind in Kind),
        *(_row(f"crash: {point}", sum(one.strike.point is point for one in dealt), "strikes") for point in Point),
    ]  # fmt: skip
    write_report(told("chaos", commit, seed, seconds, [asdict(row) for row in rows]), into)


def _row(name: str, value: int, unit: str, *, most: int | None = None, least: int | None = None) -> Row:
    return Row.of(name, [value], unit, least=least, most=most)


def _table(rounds: Sequence[Round]) -> Table:
    table = Table("strike", "dealt", "mean s")

    def add(name: str, chosen: Sequence[Dealt]) -> None:
        if chosen:
            table.add_row(name, str(len(chosen)), f"{sum(one.seconds for one in chosen) / len(chosen):.1f}")

    for kind in Kind:
        mine = [one for one in _hits(rounds) if one.strike.kind is kind]
        add(str(kind), mine)
        add("  its tasks were taken over meanwhile", [one for one in mine if one.woke is not None])
        for point in Point:
            add(f"  {point}", [one for one in mine if one.strike.point is point])
    return table


def _hits(rounds: Sequence[Round]) -> list[Dealt]:
    return [one for found in rounds for one in found.dealt if not one.failure]


def _idle(one: Round) -> list[str]:
    """Strikes that count, though nobody knows what a victim had in hand."""
    return [
        f"{dealt.strike.kind} of {', '.join(sorted(idle))} with nothing in hand"
        for dealt in one.dealt
        if not dealt.failure and (idle := set(dealt.strike.victims) - dealt.in_hand.keys())
    ]


def _awake(rounds: Sequence[Round]) -> int:
    return sum(one.woke is not None for one in _hits(rounds))


def _said(rounds: Sequence[Round]) -> list[int]:
    return [count for one in rounds for count in one.awake_again]


def _depth(rounds: Sequence[Round]) -> Counter[str]:
    found = Counter[str]()
    for one in _hits(rounds):
        for name, had in one.in_hand.items():
            at_point = name not in one.strike.victims
            found["at a point" if at_point else "at work" if had.at_work else "waiting"] += 1
        found["tried again"] += one.idle
    return found


def _total(rounds: Sequence[Round]) -> Counter[str]:
    total = Counter[str]()
    for one in rounds:
        total.update({name: getattr(one, name) for name in COUNTED})
    return total
