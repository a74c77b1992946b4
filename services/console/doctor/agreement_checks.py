"""Checks of what must be the same everywhere: clocks and code. And of letters that nobody has dealt with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from services.console.doctor.facts import Facts, LogLook, ServiceLook
from services.console.doctor.finding import CannotLook, Check, Finding, Unseen, seen
from shared.contracts.envelope import NEVER_MS
from shared.contracts.topics import CONTROL

_SHOWN_PACKAGES = 5


def clocks(facts: Facts) -> Iterator[Finding]:
    """Nobody's clock is far from ours, and no entry of control.v1 comes from the future."""
    apart = {look.name: look.ahead_s for look in facts.answering if look.ahead_s is not None}
    if not apart and isinstance(facts.log, Unseen):
        raise CannotLook("neither a service nor the broker shows a clock")
    for name, seconds in apart.items():
        if abs(seconds) > facts.limits.clocks_apart_s:
            way = "ahead of" if seconds > 0 else "behind"
            yield _apart(name, f"its clock is {abs(seconds):.1f} s {way} this machine's")
    if isinstance(facts.log, LogLook):
        yield from _from_the_future(facts, facts.log)


def _from_the_future(facts: Facts, log: LogLook) -> Iterator[Finding]:
    times = {"was stamped": log.newest_ms, "ticks": log.history.newest.ticks.get("wall")}
    for what, time_ms in times.items():
        ahead_s = ((NEVER_MS if time_ms is None else time_ms) - facts.now_ms) / 1000
        if ahead_s > facts.limits.clocks_apart_s:
            yield _apart(CONTROL.name, f"its newest entry {what} {ahead_s:.1f} s ahead of this machine's clock")


def _apart(subject: str, happened: str) -> Finding:
    return Finding(
        Check.CLOCKS, subject, happened,
        "records dated beyond `max_ahead` are rejected, and labels fall due too early or too late",
        "let NTP or chrony set the clock of each machine, this one too, and restart the registry where its clock was "
        "ahead",
    )  # fmt: skip


def code(facts: Facts) -> Iterator[Finding]:
    """All instances of a service run one code on one set of packages, and all services the same contracts.

    A service of which two releases run side by side is left out: for as long they differ.
    """
    told = [look for look in facts.answering if look.about is not None]
    if not told:
        raise CannotLook("no service answers with the code that it runs")
    alike = [look for look in told if look.service not in facts.of_two_releases]
    for one, other in combinations(alike, 2):
        if one.service == other.service and (differences := _differences(one, other)):
            yield _differs(
                f"{one.name} and {other.name}", f"they differ in {', '.join(differences)}",
                "a task that moves from one to the other may derive other events from the same input, and a replay "
                "would not give what readers have accepted",
            )  # fmt: skip
    yield from _other_contracts(alike)


def _differences(one: ServiceLook, other: ServiceLook) -> list[str]:
    if one.about is None or other.about is None:
        return []
    a, b = one.about.code, other.about.code
    named = [name for name in ("python", "shared", "service") if getattr(a, name) != getattr(b, name)]
    said = {"python": f"Python ({a.python}, {b.python})", "shared": "shared/", "service": f"services/{one.service}/"}
    packages = sorted(n for n in a.packages.keys() | b.packages.keys() if a.packages.get(n) != b.packages.get(n))
    shown = [f"{n} ({a.packages.get(n, 'none')}, {b.packages.get(n, 'none')})" for n in packages[:_SHOWN_PACKAGES]]
    more = len(packages) - len(shown)
    return [said[name] for name in named] + shown + ([f"{more} more packages"] if more else [])


def _other_contracts(told: Sequence[ServiceLook]) -> Iterator[Finding]:
    counted = Counter(look.about.code.shared for look in told if look.about)
    if not counted:
        return
    usual = counted.most_common(1)[0][0]
    others = [look.name for look in told if look.about and look.about.code.shared != usual]
    if others:
        yield _differs(
            ", ".join(others), f"they run another shared/ than {counted[usual]} of the {len(told)} processes",
            "they may read or write events of another shape, and work out other definitions, than the rest",
        )  # fmt: skip


def _differs(subject: str, happened: str, matters: str) -> Finding:
    return Finding(
        Check.CODE, subject, happened, matters,
        "put the same release, with its lock file, on all of them, and start the older ones again",
    )  # fmt: skip


def dead(facts: Facts) -> Iterator[Finding]:
    """No letter stands that was not replayed."""
    log = seen(facts.log)
    standing = [one for one in seen(log.letters) if log.history.position_of(one.replay_id) is None]
    for service, count in sorted(Counter(letter.service for letter in standing).items()):
        newest = next(letter for letter in standing if letter.service == service)
        yield Finding(
            Check.DEAD_LETTERS, service,
            f"{count} dead letter{'s' * (count > 1)} stand{'s' * (count == 1)}, the newest {newest.id[:8]}: "
            f"{newest.facts['error']}: {newest.facts['reason']}",
            "a handler could not take them, so what would follow from them is missing",
            f"see `headrace dead list {service}`; when its cause is mended, replay each with "
            f"`headrace dead replay {newest.id[:8]}`. One that it refuses cannot be mended so: it says why, and what "
            "may be done instead; the letter stands until its topic lets go of it, seven days after it was written",
        )  # fmt: skip
