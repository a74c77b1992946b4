"""When a platform has settled: nothing can move without new input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.contracts.errors import HeadraceError
from shared.contracts.services import WITH_CONSOLE
from shared.runtime.snapshot import Progress

CONTROL_LOG = "control.v1/0"
_PAUSE_S = 0.004
_LONG_PAUSE_S = 0.05
_SLOWS_AFTER_S = 2.0
STALLED_AFTER_S = 180.0

Pictures = Mapping[str, Progress | None]  # by service; None: it did not answer
Ends = Mapping[str, int]  # by `topic/partition`, the offset after the last record
Ask = Callable[[Sequence[str]], Pictures]


class DoesNotSettle(HeadraceError):
    """Nothing has moved for long, and yet something is still to come."""

    def __init__(self, waited_s: float, reasons: Mapping[str, str]) -> None:
        said = "; ".join(f"{service}: {reason}" for service, reason in reasons.items())
        super().__init__(
            f"the platform has not moved for {waited_s:.0f} s and is not done: {said}. See `headrace status` and the "
            "services' logs, and run the replay again on empty state (`headrace up --fresh`)"
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """`control`: the position of control.v1 that every service has applied. `applied`: how far each log was read."""

    control: int
    applied: Ends


def unsettled(pictures: Pictures, own_ends: Ends) -> dict[str, str]:
    """Why the platform has not settled, by service; empty: one round of answers shows nothing that could move.

    Settled in one round: each process answers, those of one service know the same of each other, each has nothing in
    hand, and has applied every log that it reads as far as anyone, a service or the replay itself, has sent to it.
    `control.v1` is read by all.
    """
    ends = known_ends(pictures, own_ends)
    memberships: dict[str, set[str | None]] = {}
    for progress in pictures.values():
        if progress is not None:
            memberships.setdefault(progress.service, set()).add(progress.membership)
    found = (
        (name, _reason(progress, ends) or _apart(memberships[progress.service] if progress else set()))
        for name, progress in pictures.items()
    )
    return {name: reason for name, reason in found if reason}


def _apart(memberships: set[str | None]) -> str:
    """A task may be nobody's, or two instances', while they do not know the same of each other."""
    return "its instances do not know of each other yet" if len(memberships) > 1 else ""


def known_ends(pictures: Pictures, own_ends: Ends) -> dict[str, int]:
    """The furthest end of each log that anyone has sent to or applied."""
    ends = dict(own_ends)
    for progress in pictures.values():
        for said in (progress.sent, progress.applied) if progress else ():
            for log, end in said.items():
                ends[log] = max(ends.get(log, 0), end)
    return ends


def _reason(progress: Progress | None, ends: Ends) -> str:
    if progress is None:
        return "it does not answer"
    if progress.waiting:
        return next(iter(progress.waiting.values()))
    behind = {log: ends[log] - applied for log, applied in progress.applied.items() if ends.get(log, 0) > applied}
    if CONTROL_LOG not in progress.applied:
        return "it has not read control.v1 yet"
    if behind:
        log = max(behind, key=behind.__getitem__)
        return f"{behind[log]} entries of {log} are not applied yet"
    if progress.doing:
        return progress.doing[0]
    return f"{progress.pending} entries in hand" if progress.pending else ""


def unchanged(before: Pictures, after: Pictures) -> bool:
    """Whether every service said the same twice: the same process, as far in every log."""
    return before.keys() == after.keys() and all(
        one is not None and other is not None and _said(one) == _said(other)
        for one, other in ((before[service], after[service]) for service in before)
    )


def _said(progress: Progress) -> tuple[object, ...]:
    return (progress.incarnation, progress.log_id, progress.control, progress.applied, progress.sent)


@dataclass
class Settling:
    """Asks the services until two rounds in a row show a settled platform.

    While something is still to come, only the first service that holds things up is asked again. Its answer and the
    older ones of the others make the first of the two rounds: the second begins after it, so that between the two
    there was a moment at which all of them stood still.
    """

    services: Iterable[str]
    ask: Ask
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    stalled_after_s: float = STALLED_AFTER_S
    waiting_for: Callable[[Mapping[str, str]], None] = field(default=lambda reasons: None)
    rounds: int = 0

    def settle(self, own_ends: Ends) -> Settled:
        """Return once settled. `own_ends`: how far the caller has sent. Raises DoesNotSettle."""
        began_s = moved_s = self.now_s()
        pictures = dict(self.ask(self._all))
        while True:
            reasons = unsettled(pictures, own_ends)
            if not reasons:
                again = dict(self.ask(self._all))
                self.rounds += 1
                if unchanged(pictures, again) and not unsettled(again, own_ends):
                    return _settled(again)
                pictures, moved_s = again, self.now_s()
                continue
            self.waiting_for(reasons)
            self.sleep(_PAUSE_S if self.now_s() - began_s < _SLOWS_AFTER_S else _LONG_PAUSE_S)
            answers = self.ask(self._first(reasons))
            self.rounds += 1
            if not unchanged({name: pictures[name] for name in answers}, answers) or _at_work(answers):
                moved_s = self.now_s()
            pictures |= answers
            if self.now_s() - moved_s > self.stalled_after_s:
                raise DoesNotSettle(self.now_s() - moved_s, reasons)

    @property
    def _all(self) -> list[str]:
        return sorted(self.services, key=_rank)

    def _first(self, reasons: Mapping[str, str]) -> list[str]:
        """The processes of the first service: what one of them lacks may be another one's news."""
        first = min(_rank(process)[0] for process in reasons)
        return [process for process in reasons if _rank(process)[0] == first]


def _at_work(answers: Pictures) -> bool:
    return any(progress is not None and progress.doing for progress in answers.values())


def _rank(process: str) -> tuple[int, str]:
    service = process.partition("-")[0]
    # Whoever comes later cannot be done before those that come earlier.
    return (WITH_CONSOLE.index(service) if service in WITH_CONSOLE else len(WITH_CONSOLE), process)


def _settled(pictures: Pictures) -> Settled:
    return Settled(max(progress.control for progress in pictures.values() if progress), known_ends(pictures, {}))
