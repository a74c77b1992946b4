"""A version takes traffic only once it is loaded, checked and warmed; then that is said, once."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import obstore
from obstore.store import MemoryStore

from services.serving.loader import LONGEST_RETRY_S, Loader, load
from shared.contracts.control import ReplicaFailed, ReplicaReady, ReplicaSeen
from shared.runtime.artifacts import ArtifactStore
from tests import builders as b
from tests.memory_host import AtOnce, MemoryHost
from tests.unit.serving.running import Platform, artifact


class WhenTold:
    """Keeps the loading of models until it is told to do it; other work is done at once."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        if getattr(fn, "func", None) is not load:
            return AtOnce().submit(fn, *args)
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args)))
        return future

    def work(self) -> None:
        for future, work in self.waiting:
            future.set_result(work())
        self.waiting = []


def turns(platform: Platform, count: int = 5) -> None:
    for _ in range(count):
        platform.process.turn(0.0)


def test_an_approved_version_is_loaded_and_reported_before_it_answers() -> None:
    platform = Platform()
    platform.decide(*platform.approved(1))
    [ready] = platform.said(ReplicaReady)
    assert (ready.replica, ready.model, ready.version) == ("0", b.MODEL, 1)
    assert ready.artifact_sha256 == platform.reference(1).sha256


def test_one_that_failed_the_gate_is_not_loaded() -> None:
    platform = Platform()
    platform.decide(b.registered(1, artifact=platform.reference(1), gate_passed=False))
    assert platform.said(ReplicaReady) == []


def test_it_says_what_it_waits_for_until_the_model_is_there() -> None:
    work = WhenTold()
    platform = Platform(MemoryHost(executor=work))
    platform.host.decide(*platform.approved(1), b.promoted(1))
    platform.scoring(b.computed())
    turns(platform)
    assert platform.process.doing() == [f"loading model {platform.reference(1).sha256[:8]}"]
    assert platform.predictions() == []
    assert platform.said(ReplicaReady) == []
    work.work()
    platform.settle()
    assert platform.process.doing() == []
    assert [one.answered_by for one in platform.predictions()] == [1]


def test_a_version_that_is_asked_for_again_is_reported_again() -> None:
    """The registry forgets who was ready as soon as replicas may drop a version."""
    platform = Platform().with_first_version()
    platform.decide(*platform.approved(2), b.promoted(2, former=1))
    platform.decide(b.approved(1, by="ann"))
    assert [ready.version for ready in platform.said(ReplicaReady)] == [1, 2, 1]
    ids = [m.id for m in platform.host.events("control.v1") if isinstance(m.event, ReplicaReady)]
    assert len(set(ids)) == 3


def test_a_damaged_model_is_a_failure_and_is_mended_by_restoring_it() -> None:
    store = MemoryStore()
    platform = Platform(MemoryHost(artifacts=ArtifactStore(store)))
    reference = platform.reference(1)
    obstore.put(store, reference.uri, b"something else")
    platform.decide(b.registered(1, artifact=reference, follows="promotion"), b.approved(1))
    [failed] = platform.said(ReplicaFailed)
    assert reference.sha256 in failed.reason
    assert platform.process.doing() == []
    obstore.put(store, reference.uri, artifact(1))
    platform.host.clock.pass_ms(int(LONGEST_RETRY_S * 1000))
    platform.settle()
    assert [ready.version for ready in platform.said(ReplicaReady)] == [1]


def test_bytes_that_are_no_model_are_a_failure() -> None:
    platform = Platform()
    reference = platform.host.artifacts.put("log", "models", b"no model", ".onnx")
    platform.decide(b.registered(1, artifact=reference, follows="promotion"), b.approved(1))
    [failed] = platform.said(ReplicaFailed)
    assert "can't be loaded" in failed.reason


def test_a_store_that_is_away_is_no_failure() -> None:
    store = MemoryStore()
    platform = Platform(MemoryHost(artifacts=ArtifactStore(store)))
    reference = platform.reference(1)
    obstore.delete(store, reference.uri)
    platform.host.decide(b.registered(1, artifact=reference, follows="promotion"), b.approved(1))
    turns(platform)
    [doing] = platform.process.doing()
    assert "HEADRACE_OBJECT_STORE" in doing
    obstore.put(store, reference.uri, artifact(1))
    platform.host.clock.pass_ms(1_000)
    platform.settle()
    assert platform.said(ReplicaFailed) == []
    assert [ready.version for ready in platform.said(ReplicaReady)] == [1]


def test_what_nothing_needs_is_let_go_but_for_a_few() -> None:
    platform = Platform().with_first_version()
    for number in range(2, 9):
        platform.decide(*platform.approved(number), b.promoted(number, former=number - 1))
    models = Loader.of(platform.process)._models
    kept = [number for number in range(1, 9) if platform.reference(number).sha256 in models]
    assert kept == [4, 5, 6, 7, 8]


def test_a_sign_of_life_at_the_start_and_at_every_wall_tick() -> None:
    platform = Platform()
    platform.settle()
    assert [seen.replica for seen in platform.said(ReplicaSeen)] == ["0"]
    platform.decide(b.tick(b.SOURCE))
    assert len(platform.said(ReplicaSeen)) == 1
    platform.host.decide(b.tick(), time_ms=b.T0_MS + 10_000)
    platform.settle()
    platform.host.decide(b.tick(), time_ms=b.T0_MS + 20_000)
    platform.settle()
    assert len(platform.said(ReplicaSeen)) == 3
    platform.start()
    platform.settle()
    assert len(platform.said(ReplicaSeen)) == 3


def test_the_thread_of_the_test_executor_is_another() -> None:
    assert AtOnce().submit(lambda: 7).result() == 7
