"""Settled: nothing can move without new input, and two rounds of answers in a row show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from deploy.local.settle import DoesNotSettle, Settling, unchanged, unsettled
from shared.runtime.snapshot import Progress

LOG = "records.clicks.v1/0"
INPUT = "clicks/0"
OWN = {INPUT: 3}


def progress(service: str, **said: Any) -> Progress:
    applied = {"control.v1/0": 5, **said.pop("applied", {})}
    usual: dict[str, Any] = {
        "service": service, "instance": "0", "membership": "alone", "incarnation": "a", "log_id": "log", "control": 5,
        "sent": {}, "pending": 0, "doing": [], "waiting": {},
    }  # fmt: skip
    return Progress.model_validate({**usual, **said, "applied": applied})


def still(**of: Progress | None) -> dict[str, Progress | None]:
    """Three services at rest; `of` replaces some of them."""
    rest: dict[str, Progress | None] = {
        "ingestion": progress("ingestion", applied=OWN, sent={LOG: 9}),
        "features": progress("features", applied={LOG: 9}, sent={"control.v1/0": 4}),
        "registry": progress("registry", sent={"control.v1/0": 5}),
    }
    return {**rest, **of}


def test_instances_that_do_not_know_the_same_of_each_other_have_not_settled() -> None:
    two = {"features": progress("features", membership="both"), "features-1": progress("features", membership="one")}
    apart = "its instances do not know of each other yet"
    assert unsettled(still(**two), {}) == {"features": apart, "features-1": apart}
    two["features-1"] = progress("features", membership="both")
    assert unsettled(still(**two), {}) == {}


def test_a_platform_at_rest_has_settled() -> None:
    assert unsettled(still(), OWN) == {}


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("ingestion", None),
        ("ingestion", progress("ingestion", applied={INPUT: 2}, sent={LOG: 9})),  # what the replay itself has sent
        ("ingestion", progress("ingestion", applied=OWN, sent={LOG: 10})),  # more than its reader has applied
        ("ingestion", progress("ingestion", applied=OWN, sent={LOG: 9}, pending=1)),
        ("features", progress("features", applied={LOG: 8})),
        ("features", progress("features", applied={LOG: 9}, doing=["fitting clicks"])),
        ("features", progress("features", applied={LOG: 9}, waiting={"x": "topic x does not exist yet"})),
        ("features", progress("features", applied={LOG: 9, "control.v1/0": 4})),  # control.v1 is a log like any other
        ("registry", progress("registry", sent={"control.v1/0": 6})),
    ],
)
def test_whatever_may_still_move_is_not_settled(service: str, said: Progress | None) -> None:
    assert unsettled(still(**{service: said}), OWN)


def test_the_same_twice_means_the_same_process_as_far_in_every_log() -> None:
    assert unchanged(still(), still())
    assert not unchanged(still(), still(registry=progress("registry", incarnation="b", sent={"control.v1/0": 5})))
    assert not unchanged(still(), still(features=progress("features", applied={LOG: 10})))
    assert not unchanged(still(), still(features=None))
    assert not unchanged(still(features=None), still(features=None))
    assert not unchanged(still(), {"registry": progress("registry", sent={"control.v1/0": 5})})


class Services:
    """Answers each round from a list of pictures, the last of them for ever; time passes as it is slept."""

    def __init__(self, *pictures: Mapping[str, Progress | None]) -> None:
        self.pictures, self.asked, self.now_s = list(pictures), 0, 0.0

    def ask(self, services: Sequence[str]) -> dict[str, Progress | None]:
        picture = self.pictures[min(self.asked, len(self.pictures) - 1)]
        self.asked += 1
        return {service: picture[service] for service in services}

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def settling(self, **more: Any) -> Settling:
        return Settling(("registry", "features", "ingestion"), self.ask, lambda: self.now_s, self.sleep, **more)


def test_a_platform_at_rest_is_asked_twice() -> None:
    services = Services(still())
    settled = services.settling().settle(OWN)
    assert (settled.control, services.asked) == (5, 2)
    assert settled.applied[INPUT] == 3


def test_a_change_between_two_quiet_rounds_is_asked_about_again() -> None:
    later = still(
        ingestion=progress("ingestion", applied=OWN, sent={LOG: 12}), features=progress("features", applied={LOG: 12})
    )
    services = Services(still(), later)
    assert services.settling().settle(OWN).applied[LOG] == 12
    assert services.asked == 3


def test_a_process_that_was_restarted_between_two_quiet_rounds_is_asked_about_again() -> None:
    again = still(registry=progress("registry", incarnation="b", sent={"control.v1/0": 5}))
    services = Services(still(), again)
    services.settling().settle(OWN)
    assert services.asked == 3


def test_a_process_that_is_away_is_waited_for() -> None:
    services = Services(still(ingestion=None), still(ingestion=None), still())
    services.settling().settle(OWN)
    assert services.asked == 4


def test_what_comes_first_downstream_is_asked_first() -> None:
    said: list[Mapping[str, str]] = []
    behind = still(
        ingestion=progress("ingestion", applied={INPUT: 0}, sent={LOG: 9}),
        features=progress("features", applied={LOG: 8}),
    )
    services = Services(behind, still())
    services.settling(waiting_for=said.append).settle(OWN)
    assert set(said[0]) == {"ingestion", "features"}
    assert set(said[1]) == {"features"}


def test_a_platform_that_never_settles_is_given_up_with_its_reason() -> None:
    services = Services(still(features=progress("features", applied={LOG: 8})))
    with pytest.raises(DoesNotSettle, match=r"features: 1 entries of records.clicks.v1/0"):
        services.settling(stalled_after_s=5.0).settle(OWN)
    assert services.now_s > 5.0


def test_work_that_takes_long_is_not_given_up() -> None:
    fitting = still(features=progress("features", applied={LOG: 9}, doing=["fitting"]))
    services = Services(*[fitting] * 700, still())
    services.settling(stalled_after_s=5.0).settle(OWN)
    assert services.now_s > 5.0
