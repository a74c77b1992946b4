"""The backtest of detectors: the same alarms as in service, and estimates that hold what they say."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.monitoring.backtest import intervals
from services.monitoring.backtest.decided_as_of import DecidedAsOf
from services.monitoring.backtest.estimates import Estimates, long_enough
from services.monitoring.backtest.findings import findings
from services.monitoring.backtest.permuted import Shuffled
from services.monitoring.backtest.recorded import Stretch
from services.monitoring.backtest.request import NothingToReplay, configured, named
from services.monitoring.river_adapters import RiverMissing
from shared.contracts.definitions import Monitor
from shared.contracts.topics import OUTCOMES
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from tests import builders as b
from tests.unit.monitoring.recorded_model import (
    HELD_BACK,
    LOG_ID,
    RecordedModel,
    T,
    defined,
    judged,
    recorded_model,
    stepping_in,
)
from tests.unit.monitoring.stepping import decide, history


def one_in_ten(n: int) -> bool:
    return n % 10 != 0


def risen_at_400(n: int) -> bool:
    return n % 10 != 0 if n < 400 else n % 2 != 0


@pytest.fixture(scope="module")
def risen(tmp_path_factory: pytest.TempPathFactory) -> RecordedModel:
    """700 outcomes, of which the first 300 stand in a segment; one in ten is wrong, from 400 on one in two."""
    return recorded_model(tmp_path_factory.mktemp("risen"), 700, risen_at_400, segment=300, reference_outcomes=100)


def found(recorded: RecordedModel, *configurations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return json.loads(json.dumps(findings(recorded.request(*configurations, **more), lambda text: None)))


def test_what_is_in_force_raises_the_alarms_that_were_raised(risen: RecordedModel) -> None:
    assert risen.alarms
    (configuration,) = found(risen)["configurations"]
    assert configuration["in_force"]
    assert configuration["missed"] == []
    alarms = configuration["alarms"]
    assert [(a["position"], a["since"], a["mean_since"], a["record_id"]) for a in alarms] == [
        (a.position, a.since, a.mean_since, a.last_record_id) for a in risen.alarms
    ]
    assert [a["raised"] for a in alarms] == [a.position for a in risen.alarms]
    first = alarms[0]
    assert 400 < first["position"] < 500
    assert first["mean_before"] == pytest.approx(0.1, abs=0.01)
    assert first["evidence"] >= first["threshold"] == 1000.0
    assert (first["version"], first["replaced"]) == (1, None)


def test_detectors_stand_side_by_side_and_say_what_they_are(risen: RecordedModel) -> None:
    given = {"detector": "page_hinkley", "detector_parameters": {"threshold": 10}}
    everything = found(risen, {"detector": "adwin"}, given, {"detector": "kswin"}, {"expected_run_length": 50_000})
    adwin, page_hinkley, kswin, ours = everything["configurations"]
    assert [c["name"] for c in everything["configurations"]] == [
        "adwin", "page_hinkley, threshold 10", "kswin", "e_detector, one in 50,000",
    ]  # fmt: skip
    assert not any(c["in_force"] for c in everything["configurations"])
    for configuration in (adwin, page_hinkley, ours):
        assert 400 < configuration["alarms"][0]["position"] < 520
    assert kswin["monitor"]["detector"] == "kswin"
    assert adwin["alarms"][0]["evidence"] is None
    assert (page_hinkley["alarms"][0]["threshold"], ours["alarms"][0]["threshold"]) == (10.0, 50_000.0)
    assert ours["alarms"][0]["position"] > risen.alarms[0].position


def test_a_detector_that_sees_nothing_leaves_out_what_was_raised(risen: RecordedModel) -> None:
    deaf = {"detector": "page_hinkley", "detector_parameters": {"threshold": 1e6}}
    (configuration,) = found(risen, deaf)["configurations"]
    assert configuration["alarms"] == []
    assert configuration["missed"] == [alarm.position for alarm in risen.alarms]


def test_only_the_outcomes_asked_for_are_replayed(risen: RecordedModel) -> None:
    part = found(risen, first=150, last=390)
    assert (part["outcomes"], part["losses"], part["raised"]) == (240, 240, [])
    assert (part["stretches"][0]["first"], part["stretches"][0]["last"]) == (150, 389)
    assert part["configurations"][0]["alarms"] == []


def test_the_same_seed_gives_the_same_figures_and_another_one_others(risen: RecordedModel) -> None:
    one, again, other = (found(risen, {"detector": "adwin"}, seed=seed)["configurations"][0] for seed in (1, 1, 2))
    assert one == again
    assert one["delays"] != other["delays"]


def test_a_newer_version_begins_a_stretch_and_what_it_replaced_is_watched_no_more(tmp_path: Path) -> None:
    control = history(defined(reference_outcomes=100), b.registered(1, held_back=HELD_BACK), b.promoted(1))
    stepping = stepping_in(tmp_path, control)
    events = judged(stepping, range(300), lambda n: n % 10 != 0 if n < 200 else n % 2 != 0, 1)
    for event in (*events, b.registered(2, held_back=HELD_BACK), b.promoted(2, former=1)):
        decide(control, event, T + 299)
    for event in judged(stepping, range(300, 600), one_in_ten, 2):
        decide(control, event, T + 600)
    stepping.task.file.close()
    everything = found(RecordedModel(tmp_path, control, []))
    assert [(s["version"], s["first"], s["last"], s["losses"]) for s in everything["stretches"]] == [
        (1, 0, 299, 300), (2, 300, 599, 300),
    ]  # fmt: skip
    (alarm,) = everything["configurations"][0]["alarms"]
    assert (alarm["version"], alarm["replaced"]) == (1, 300)
    assert alarm["raised"] == alarm["position"]


# --- where there is little to say


def test_no_outcome_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NothingToReplay, match=r"card_fraud has no decided outcome: labels mature .*headrace status"):
        found(recorded_model(tmp_path, 0, one_in_ten))


def test_before_the_first_version_nothing_can_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(NothingToReplay, match=r"no version yet, so none of its 30 outcomes has a loss"):
        found(recorded_model(tmp_path, 30, one_in_ten, version=False))


def test_a_span_without_losses_names_those_that_are_recorded(risen: RecordedModel) -> None:
    with pytest.raises(NothingToReplay, match=r"0 of the 700 recorded outcomes .* --from and --to"):
        found(risen, first=700, last=800)


def test_fewer_losses_than_the_reference_takes_give_alarms_and_no_estimate(risen: RecordedModel) -> None:
    (configuration,) = found(risen, {"reference_outcomes": 700})["configurations"]
    assert configuration["false_alarms"] is None
    assert (
        "the longest stretch between two promotions has 700, and reference_outcomes is 700"
        in configuration["no_estimate"]
    )
    assert "--reference-outcomes 350" in configuration["no_estimate"]


def test_equal_losses_give_no_estimate(tmp_path: Path) -> None:
    (configuration,) = found(recorded_model(tmp_path, 200, lambda n: True, reference_outcomes=100))["configurations"]
    assert configuration["alarms"] == []
    assert "all losses of a version are equal (0)" in configuration["no_estimate"]
    assert "monitor.metric is zero_one" in configuration["no_estimate"]


def test_a_configuration_that_no_definition_may_have_is_refused(risen: RecordedModel) -> None:
    with pytest.raises(ValueError, match="expected_run_length"):
        found(risen, {"expected_run_length": 5})


def test_without_river_its_detectors_are_refused(risen: RecordedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.monitoring.river_adapters.installed", lambda: False)
    with pytest.raises(RiverMissing, match="pip install"):
        found(risen, {"detector": "adwin"})


# --- where the rows come from


def test_without_a_file_the_segments_are_replayed_and_the_rest_is_said_to_be_missing(
    risen: RecordedModel, tmp_path: Path
) -> None:
    request = risen.request().model_copy(update={"data": str(tmp_path)})
    everything = findings(request, lambda text: None)
    assert everything["outcomes"] == 300
    assert "no file or copy of monitoring/judge/outcomes.card_fraud.v1/0 is found" in everything["warnings"][0]


def test_a_copy_in_the_object_store_stands_for_the_file(tmp_path: Path) -> None:
    recorded = recorded_model(tmp_path / "there", 250, one_in_ten, segment=100)
    stepping = stepping_in(tmp_path / "there", recorded.control)
    store = ArtifactStore.at(str(tmp_path / "there" / "objects"))
    Copies(store, LOG_ID).keep(f"monitoring/judge/{OUTCOMES.of(b.MODEL).name}/0", stepping.task.file.copier()())
    stepping.task.file.close()
    elsewhere = recorded.request().model_copy(update={"data": str(tmp_path / "here")})
    everything = findings(elsewhere, lambda text: None)
    assert (everything["outcomes"], everything["warnings"]) == (250, [])


def test_a_file_of_another_log_is_not_read(tmp_path: Path) -> None:
    recorded = recorded_model(tmp_path, 50, one_in_ten, log_id="22222222-2222-8222-8222-222222222222")
    with pytest.raises(NothingToReplay, match="no decided outcome"):
        found(recorded)


def test_the_program_answers_in_json_what_it_found_and_what_it_did_not(risen: RecordedModel) -> None:
    def ran(request: str) -> tuple[int, Any]:
        argv = [sys.executable, "-m", "services.monitoring.backtest"]
        child = subprocess.run(argv, input=request, capture_output=True, text=True, check=False)
        return child.returncode, json.loads(child.stdout)

    code, answer = ran(risen.request().model_dump_json())
    assert code == 0
    assert answer == found(risen)
    code, answer = ran(risen.request({"detector": "nobody"}).model_dump_json())
    assert code == 1
    assert "detector: Input should be 'e_detector'" in answer["error"]


# --- configurations


def test_another_detector_takes_its_own_parameters_not_those_in_force() -> None:
    in_force = Monitor.written({"detector": "adwin", "detector_parameters": {"delta": 0.01}, "tolerance": 0.1})
    assert configured(in_force, {"detector": "kswin"}) == Monitor.written({"detector": "kswin", "tolerance": 0.1})
    assert configured(in_force, {"detector": "adwin"}) == in_force
    assert named(configured(in_force, {"detector": "e_detector"})) == "e_detector, one in 1,000,000, tolerance 0.1"


# --- estimates


def stretch(losses: list[float]) -> Stretch:
    return Stretch(1, 1, range(len(losses)), losses)


def independent(count: int = 3_000, mean: float = 0.2, seed: int = 5) -> Stretch:
    rng = random.Random(seed)
    return stretch([float(rng.random() < mean) for _ in range(count)])


def test_a_permutation_holds_the_same_losses_in_another_order() -> None:
    made = Shuffled(independent())
    losses = made.losses(random.Random(1))
    assert sorted(losses) == sorted(independent().losses)
    assert losses != list(independent().losses)
    assert made.block == 1


def test_autocorrelated_losses_are_permuted_in_blocks_and_stay_autocorrelated() -> None:
    rng, level, losses = random.Random(2), 0.5, list[float]()
    for _ in range(8_000):
        level = 0.5 + 0.9 * (level - 0.5) + rng.gauss(0.0, 0.03)
        losses.append(min(1.0, max(0.0, level)))
    made, before = Shuffled(stretch(losses)), stretch(losses).autocorrelation_time
    assert before > 5.0
    assert made.block > 5 * before
    after = stretch(made.losses(random.Random(1))).autocorrelation_time
    assert after == pytest.approx(before, rel=0.5)


@pytest.mark.parametrize("rise", [0.05, 0.2])
def test_a_rise_put_in_is_as_large_as_it_says(rise: float) -> None:
    made, rng = Shuffled(independent(20_000)), random.Random(3)
    share = made.share_raised(rise)
    assert share is not None
    losses = next(made.raised(rng, share))
    assert sum(losses) / len(losses) == pytest.approx(made.mean + rise, abs=0.01)
    assert set(losses) <= {0.0, 1.0}


def test_a_rise_beyond_the_largest_loss_is_not_possible() -> None:
    assert Shuffled(stretch([0.1, 0.2] * 300)).share_raised(0.1) is None
    assert not Estimates(Monitor(), [stretch([0.1, 0.2] * 300)], 1, 60.0).delay(0.1, 10).possible


def test_false_alarms_are_as_rare_as_the_e_detector_guarantees() -> None:
    monitor = Monitor.written({"expected_run_length": 1000, "reference_outcomes": 500})
    counted = Estimates(monitor, [independent()], 1, 60.0).false_alarms(100_000)
    assert counted.outcomes >= 100_000
    assert not counted.cut_off
    assert counted.high is None or counted.high > 1_000


def test_false_alarms_of_a_detector_that_guesses_are_counted_as_often_as_it_guesses() -> None:
    """Page-Hinkley without a threshold to speak of alarms at once, so each permutation ends at its 30th loss or so."""
    monitor = Monitor.written({"detector": "page_hinkley", "detector_parameters": {"threshold": 0.001}})
    counted = Estimates(monitor, [independent()], 1, 60.0).false_alarms(3_000)
    assert counted.alarms == counted.permutations
    assert counted.run_length is not None
    assert 30 <= counted.run_length < 40
    assert counted.high is not None
    assert counted.low < counted.run_length < counted.high


def test_a_larger_rise_is_found_sooner() -> None:
    monitor = Monitor.written({"expected_run_length": 1000, "reference_outcomes": 500})
    estimates = Estimates(monitor, [independent()], 1, 60.0)
    small, large = estimates.delay(0.1, 40), estimates.delay(0.3, 40)
    assert small.median is not None
    assert large.median is not None
    assert large.median < small.median
    assert large.found == large.runs
    assert large.runs + large.early == 40
    assert large.low is not None
    assert large.high is not None
    assert large.low <= large.median <= large.high


def test_an_estimate_is_cut_off_when_the_time_is_up_and_says_so() -> None:
    counted = Estimates(Monitor.written({"detector": "adwin"}), [independent()], 1, 0.0).false_alarms(1_000_000)
    assert counted.cut_off
    assert counted.permutations == 1


def test_stretches_shorter_than_the_reference_are_left_out() -> None:
    both = [independent(499), independent(501)]
    assert long_enough(Monitor.written({"reference_outcomes": 500}), both) == both[1:]


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39), (100, 81.36, 121.63)]
)
def test_the_interval_of_a_count_is_garwoods(events: int, low: float, high: float) -> None:
    assert intervals.of_count(events) == (pytest.approx(low, rel=1e-3, abs=1e-9), pytest.approx(high, rel=1e-3))


def test_the_interval_of_a_large_count_goes_on_where_the_exact_one_ends() -> None:
    assert intervals.of_count(200)[0] == pytest.approx(intervals.of_count(201)[0], rel=0.02)
    assert intervals.of_count(200)[1] == pytest.approx(intervals.of_count(201)[1], rel=0.02)


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng, covered = random.Random(4), 0
    for _ in range(1_000):
        _, low, high = intervals.of_median([rng.random() for _ in range(60)])
        covered += low <= 0.5 <= high
    assert 930 <= covered <= 985


def test_a_median_of_runs_that_mostly_found_nothing_lies_beyond() -> None:
    median, low, high = intervals.of_median([3.0, *([math.inf] * 20)])
    assert (median, high) == (math.inf, math.inf)
    assert low == math.inf


# --- what was decided when


def test_what_was_decided_follows_the_reports_and_the_versions_that_answer(tmp_path: Path) -> None:
    control = history(b.registered(1), b.promoted(1), b.quality(position=100))
    for event, time_ms in (
        (b.registered(2), T + 150), (b.promoted(2, former=1), T + 150), (b.quality(position=200), T + 200),
        (b.rolled_back(version=1, former=2), T + 300), (b.quality(position=400), T + 400),
    ):  # fmt: skip
        decide(control, event, time_ms)
    asked = DecidedAsOf(b.MODEL, RecordedModel(tmp_path, control, []).request().entries)
    seen = [(n, champion, asked.at(n, champion, T + n).champion) for n, champion in (
        (50, None), (101, 1), (160, 2), (170, 1), (210, 1), (250, 2), (350, 1), (380, 2), (450, 1),
    )]  # fmt: skip
    assert [known for _, _, known in seen] == [
        None,  # version 1 was promoted behind no report yet, and answered nothing yet
        1,  # the report behind it
        2,  # no report behind it yet, but it answers
        2,  # an answer of version 1 that matured late: not yet the return to it, which came at 300
        2,
        2,
        1,  # rolled back, and it answers
        1,
        1,
    ]
