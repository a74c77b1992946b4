"""What proves that an end was reached, and what does not."""

from __future__ import annotations

from shared.runtime.end_proof import EndProof
from shared.runtime.log import TopicPartition

TP = TopicPartition("t", 0)


def test_an_answer_that_was_on_its_way_proves_nothing() -> None:
    proof = EndProof()
    early = proof.fetch_sent()
    token = proof.token()
    proof.answered(TP, early, 5)
    proof.moved(TP, 5)
    assert not proof.reached_since(TP, token)
    assert proof.wanted(TP)
    proof.answered(TP, proof.fetch_sent(), 5)
    assert not proof.wanted(TP)
    proof.moved(TP, 5)
    assert proof.reached_since(TP, token)


def test_the_position_must_come_to_the_answer() -> None:
    proof = EndProof()
    token = proof.token()
    proof.answered(TP, proof.fetch_sent(), 10)
    proof.moved(TP, 9)
    assert not proof.reached_since(TP, token)
    proof.answered(TP, proof.fetch_sent(), 20)  # it grew meanwhile: what stood there at the token still ends at 10
    proof.moved(TP, 10)
    assert proof.reached_since(TP, token)
    assert proof.end(TP) == 20


def test_a_leader_that_lags_proves_nothing() -> None:
    proof = EndProof()
    proof.answered(TP, proof.fetch_sent(), 10)
    token = proof.token()
    proof.answered(TP, proof.fetch_sent(), 8)
    proof.moved(TP, 10)
    assert not proof.reached_since(TP, token)


def test_a_position_set_anew_takes_back_the_proof() -> None:
    proof = EndProof()
    token = proof.token()
    proof.answered(TP, proof.fetch_sent(), 3)
    proof.moved(TP, 3)
    assert proof.reached_since(TP, token)
    proof.forget(TP)
    assert not proof.reached_since(TP, token)
    assert proof.end(TP) is None
