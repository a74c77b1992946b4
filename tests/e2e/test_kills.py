"""kill -9 of every service during a replay, and of all at once, changes no count, no decision and no prediction.

A replay over Apache Kafka, in which each service is killed with work in hand, is compared with an undisturbed one over
the embedded broker. Of all seven at once not all can have some (see `Blow`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.options import BrokerKind
from deploy.local.platform_environment import START_ORDER
from tests.e2e.disturbed_replay import MODEL, Course, assert_as_undisturbed, replayed
from tests.e2e.killer import Blow, Hit

ALL = tuple(START_ORDER)
# The first fits are at rows 240 and 340 or so, the third at 430; its rollout ends at row 500.
SHORT = Course(
    480, (MODEL,),
    (
        Blow(24, ("ingestion",)), Blow(72, ("features",)), Blow(120, ("console",)), Blow(168, ("monitoring",)),
        Blow(200, ("training",), at_work=True), Blow(340, ("serving",)), Blow(364, ("registry",)), Blow(388, ALL),
    ),
)  # fmt: skip
LONG = Course(
    3_000, ("price_up_never", "price_up_every", MODEL),
    (
        *(Blow(96 + 240 * n, (victim,)) for n, victim in enumerate(ALL)),
        Blow(1_780, ("training",), at_work=True),
        Blow(1_800, ALL),
        *(Blow(1_900 + 120 * n, (victim,)) for n, victim in enumerate(reversed(ALL))),
        Blow(2_850, ALL),
    ),
    block=48,
)  # fmt: skip


def begun_again(hit: Hit, fits: dict[str, list[int]]) -> bool:
    """Whether the fit that this blow met was begun before it, and again after it: who is dead repeats nothing."""
    [begun] = [times for run_id, times in fits.items() if run_id[:8] in hit.in_hand["training"]]
    return min(begun) <= hit.at_ms < max(begun)


def compare(course: Course, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole test."""
    disturbed = replayed(course, folder / "kafka", BrokerKind.KAFKA, capsys, monkeypatch)
    undisturbed = replayed(replace(course, blows=()), folder / "embedded", BrokerKind.EMBEDDED, capsys, monkeypatch)
    for hit in disturbed.hits:
        with capsys.disabled():
            print(f"\nkilled {', '.join(hit.victims)}: {dict(hit.in_hand)}", end="")
    # No blow is dealt but to services with work in hand: one that met none is missing here.
    assert [hit.victims for hit in disturbed.hits] == [blow.victims for blow in course.blows]
    assert_as_undisturbed(disturbed, undisturbed)
    # A fit that was killed was begun again.
    for blow, hit in zip(course.blows, disturbed.hits, strict=True):
        assert not blow.at_work or begun_again(hit, disturbed.fits), hit


def test_only_a_beginning_after_the_blow_counts() -> None:
    hit = Hit(("training",), {"training": "fitting run 12345678 of price_up"}, 2_000)
    assert begun_again(hit, {"12345678-9": [1_000, 2_500], "87654321-0": [1_000]})
    assert not begun_again(hit, {"12345678-9": [1_000, 1_000], "87654321-0": [2_500]})


@pytest.mark.timeout(900)
def test_a_short_replay_with_kills_decides_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(SHORT, tmp_path, capsys, monkeypatch)


@pytest.mark.proof
@pytest.mark.timeout(3_600)
def test_a_long_replay_with_kills_decides_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(LONG, tmp_path, capsys, monkeypatch)
