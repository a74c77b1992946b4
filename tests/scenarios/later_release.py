"""Release 2 of any service: it derives the same, but in a trace of its own, so that each event shows whose code it was.

Everything that the checker computes once more stays as it is; only a replay has to know which release took what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.contracts.identity import derived_id
from shared.contracts.trace_context import begun
from shared.runtime.service import Service
from shared.runtime.step import Context, Handler, Output, Publish, Step

RELEASE = 2
TRACE = begun("release 2", derived_id("release 2", "began"))


def later_release(service: Service) -> Service:
    """The same service, as its release 2."""
    return replace(service, steps={name: _of_release_2(s) for name, s in service.steps.items()}, release=RELEASE)


def with_later_release(steps: Mapping[str, Step], service: str) -> dict[str, Step]:
    """`steps` by `service/step`, and those of the service's release 2 beside them."""
    later = {f"{name}@{RELEASE}": _of_release_2(s) for name, s in steps.items() if name.startswith(f"{service}/")}
    return {**steps, **later}


def _of_release_2(step: Step) -> Step:
    """Head steps only copy: their output never changes with a release."""
    return replace(
        step,
        events={kind: _traced(handler) for kind, handler in step.events.items()},
        timers={name: _traced(handler) for name, handler in step.timers.items()},
    )


def _traced(handler: Handler) -> Handler:
    def call(state: object, cause: object, context: Context) -> tuple[object, list[Output]]:
        after, outputs = handler(state, cause, context)
        return after, [one._replace(trace=TRACE) if isinstance(one, Publish) else one for one in outputs]

    return call
