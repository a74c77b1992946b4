"""A plan in plain words: who did what when, which fault struck whom, and what does not hold because of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from deploy.simulation.faults import Disk, Kind, Strike
from shared.contracts.definitions import Clock
from shared.runtime.memory_log import Fate
from tests.scenarios.acts import Act, Call, Define, Pass, Publish, Release, Settle, Tick
from tests.scenarios.invariants import INVARIANTS
from tests.scenarios.simulation.history import Broken, invariant
from tests.scenarios.simulation.plan import Plan

FATES = {
    Fate.REPEAT: "comes to stand in its log twice",
    Fate.LOSE_ACK: "comes to stand in its log, and its acknowledgement is lost",
    Fate.FAIL: "fails",
    Fate.DELAY: "waits on its way",
}


def story(plan: Plan, broken: Broken) -> str:
    """Line by line, in the order in which it happened. Steps are the scheduler's: what one process does at once."""
    several = "one instance" if plan.instances == 1 else f"{plan.instances} instances"
    clock = "; sources by the wall clock" if plan.clock is Clock.WALL else ""
    lines = [f"seed {plan.seed}: {plan.mix}{clock}; {several} of each service"]
    lines += [f"  {twist}" for twist in plan.twists]
    at_steps = accumulate((act.steps for act in plan.acts), initial=plan.opening_steps)
    acts = [(at, 1, _act(act)) for at, act in zip(list(at_steps)[1:], plan.acts, strict=True)]
    sends = [strike for strike in plan.strikes or () if strike.kind is Kind.SEND]
    faults = [(s.at, 0, f"FAULT: {_strike(s)}") for s in plan.strikes or () if s.kind is not Kind.SEND]
    lines += [f"  step {at:>6}  {said}" for at, _, said in sorted([*acts, *faults], key=lambda one: one[:2])]
    lines += [f"  FAULT: send number {s.at}, by {s.whom}, {FATES[s.fate]}" for s in sends]
    return "\n".join([*lines, f"  then {broken.what} falls{_statement(broken)}", f"    {broken.text}"])


def _statement(broken: Broken) -> str:
    said = [one.statement for number, one in INVARIANTS.items() if invariant(number) == broken.what]
    return f", {said[0]}:" if said else ":"


def _act(act: Act) -> str:
    match act.what:
        case Publish(sent):
            record = repr(sent.record) if isinstance(sent.record, bytes) else ", ".join(_fields(sent.record))
            return f"a client publishes to {sent.source}/{sent.partition}: {record}"
        case Tick(time_ms):
            return f"a tick says that it is {time_ms}"
        case Pass(time_ms, None):
            return f"time goes by, until the clock shows {time_ms}"
        case Pass(time_ms, after_ms):
            return f"time goes by, until ticks show {time_ms}, and {after_ms} ms more than they have shown"
        case Release(service):
            return f"release 2 of {service} is started beside the first"
        case Define(definitions):
            return f"somebody asks for {', '.join(one.name for one in definitions)}"
        case Settle():
            return "all faults end, and everything comes to rest"
        case Call(name, _):
            return name


def _fields(record: dict[str, object] | object) -> Iterator[str]:
    assert isinstance(record, dict)
    return (f"{name} {value}" for name, value in record.items())


def _strike(strike: Strike) -> str:
    whom = strike.whom
    for_steps = f"for {strike.lasts} steps"
    match strike.kind:
        case Kind.CRASH:
            when = f"at its call number {strike.calls} from here into broker, disk or store" if strike.calls else "here"
            back = f"it is back {strike.lasts} steps later" if strike.lasts else "it is back at once"
            return (
                f"{whom} is killed {when}, {strike.disk}; {back}"
                if strike.disk is not Disk.KEPT
                else (f"{whom} is killed {when}; {back}")
            )
        case Kind.IMAGE:
            return f"the disk of {whom} is imaged; a later crash may put it back"
        case Kind.DROP:
            return f"{whom} is thought dead, and goes on"
        case Kind.FREEZE:
            return f"{whom} stands still {for_steps}, and is thought dead"
        case Kind.FILL_DISK:
            return f"the disk of {whom} is full {for_steps}"
        case Kind.SLOW:
            return f"what {whom} has handed to its workers waits {for_steps}"
        case Kind.CLOCK:
            return f"the clock of {whom} jumps by {strike.jump_ms:+} ms"
        case Kind.STORE:
            return f"the object store is away {for_steps}"
        case Kind.BROKER:
            return f"the broker is away {for_steps}"
        case Kind.EXPIRE:
            return f"the logs of tables lose what the older of two copies holds, as far as {whom} knows of them"
        case Kind.WORKER:
            return "the next fit dies"
        case Kind.SEND:
            return f"a send by {whom} {FATES[strike.fate]}"
