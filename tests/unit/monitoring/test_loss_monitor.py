from __future__ import annotations

import json
import math
import random
import statistics
from statistics import NormalDist

import pytest

from services.monitoring import loss_monitor, loss_watch, reference_loss
from services.monitoring.loss_monitor import LossAlarm, LossMonitorState, Statistic
from services.monitoring.loss_watch import WatchState
from services.monitoring.reference_loss import ReferenceSource
from shared.contracts import autocorrelation
from shared.contracts.expected_loss import ExpectedLoss


def coin_flips(rng: random.Random, count: int, mean: float) -> list[float | None]:
    return [1.0 if rng.random() < mean else 0.0 for _ in range(count)]


def delay(seed: int, mean: float) -> tuple[int, LossAlarm]:
    rng = random.Random(seed)
    state, early = loss_monitor.update_many(loss_monitor.start(0.1), coin_flips(rng, 1000, 0.1))
    assert not early
    for _ in range(200):
        state, alarms = loss_monitor.update_many(state, coin_flips(rng, 50, mean))
        if alarms:
            return alarms[0].position - 999, alarms[0]
    raise AssertionError("no alarm within 10,000 outcomes")


def test_state_and_alarm_survive_json_bit_for_bit() -> None:
    rng = random.Random(5)
    state, _ = loss_monitor.update_many(loss_monitor.start(0.1, 0.01, 1e4), [rng.random() / 5 for _ in range(777)])
    again = LossMonitorState.from_json(json.loads(json.dumps(state.to_json())))
    assert again == state
    rest = coin_flips(rng, 300, 0.5)
    assert loss_monitor.update_many(again, rest) == loss_monitor.update_many(state, rest)
    _, alarms = loss_monitor.update_many(state, rest)
    assert LossAlarm.from_json(json.loads(json.dumps(alarms[0].to_json()))) == alarms[0]
    assert len(json.dumps(state.to_json())) < 2000


def test_one_by_one_equals_a_batch() -> None:
    losses = coin_flips(random.Random(3), 2000, 0.3)
    batch, alarms = loss_monitor.update_many(loss_monitor.start(0.2), losses)
    state, found = loss_monitor.start(0.2), list[LossAlarm]()
    for loss in losses:
        state, alarm = loss_monitor.update(state, loss)
        found += [alarm] if alarm else []
    assert (state, found) == (batch, alarms)
    assert found


def test_no_more_alarms_than_the_run_length_allows() -> None:
    # Under the guarantee 300,000 outcomes at the null itself have at most 60 alarms in expectation.
    _, alarms = loss_monitor.update_many(
        loss_monitor.start(0.1, expected_run_length=5000), coin_flips(random.Random(11), 300_000, 0.1)
    )
    assert len(alarms) <= 60 + 3 * math.sqrt(60)


def test_a_doubled_error_is_found_soon_and_dated() -> None:
    found = [delay(seed, 0.2) for seed in range(20)]
    assert statistics.median(count for count, _ in found) < 300
    assert abs(statistics.median(alarm.change_position for _, alarm in found) - 1000) < 60
    assert statistics.median(delay(seed, 0.3)[0] for seed in range(20)) < 100


def test_an_alarm_can_be_recomputed_from_its_evidence() -> None:
    losses = coin_flips(random.Random(8), 3000, 0.3)
    _, [first, second, *_] = loss_monitor.update_many(loss_monitor.start(0.1, 0.02, 1e5), losses)
    span = losses[second.first_position : second.position + 1]
    again = loss_monitor.start(
        second.reference_mean_upper, second.tolerance, second.threshold, first_position=second.first_position
    )
    _, [repeated] = loss_monitor.update_many(again, span)
    assert repeated == second
    assert second.first_position == first.position + 1
    since = [loss for loss in losses[second.change_position : second.position + 1] if loss is not None]
    assert second.since_change_mean == pytest.approx(sum(since) / len(since))
    assert second.count_since_change == len(since)
    assert second.evidence >= second.threshold == 1e5


@pytest.mark.parametrize("loss", [None, math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_a_loss_that_is_none_moves_nothing_but_its_count(loss: float | None) -> None:
    before, _ = loss_monitor.update(loss_monitor.start(0.1), 1.0)
    after, alarm = loss_monitor.update(before, loss)
    assert alarm is None
    assert (after.values, after.count, after.total) == (before.values, before.count, before.total)
    assert (after.invalid, after.position) == (1, 1)


def test_positions_come_from_the_caller_and_only_rise() -> None:
    state, _ = loss_monitor.update(loss_monitor.start(0.1, first_position=40), 1.0, position=57)
    assert state.position == 57
    with pytest.raises(ValueError, match="once, in order"):
        loss_monitor.update(state, 0.0, position=57)


@pytest.mark.parametrize("upper", [0.0, 0.05, 0.5, 0.97, 1.0])
def test_no_factor_turns_negative_whatever_the_reference(upper: float) -> None:
    state = loss_monitor.start(upper, 0.3)
    assert all(1.0 + bet * (0.0 - state.null_mean) > 0.0 for bet in state.bets)
    assert list(state.bets) == sorted(set(state.bets))


def test_residuals_stay_quiet_when_the_expected_loss_explains_the_rise() -> None:
    rng = random.Random(2)
    model = ExpectedLoss(0.1, 0.2, (), ())
    null = model.to_unit(0.0)
    raw, aware = loss_monitor.start(0.1), loss_monitor.start(null, 0.01, statistic=Statistic.RESIDUAL)

    def beyond(loss: float, expected: float) -> float:
        return model.to_unit(model.residual(loss, expected))

    raw_alarms = aware_alarms = 0
    for i in range(6000):
        expected = 0.1 if i < 2000 else 0.25
        loss = 1.0 if rng.random() < expected else 0.0
        raw, raised = loss_monitor.update(raw, loss)
        raw_alarms += raised is not None
        aware, raised = loss_monitor.update(aware, beyond(loss, expected))
        aware_alarms += raised is not None
    assert raw_alarms > 0
    assert aware_alarms == 0
    for i in range(3000):
        aware, raised = loss_monitor.update(aware, beyond(1.0 if rng.random() < 0.4 else 0.0, 0.25))
        if raised:
            assert i < 2500
            break
    else:
        raise AssertionError("the change of the concept was not found")


@pytest.mark.parametrize(("upper", "run_length"), [(math.nan, 1e6), (1.1, 1e6), (-0.1, 1e6), (0.1, math.nan)])
def test_a_reference_that_guarantees_nothing_is_refused(upper: float, run_length: float) -> None:
    with pytest.raises(ValueError, match=r"reference bound|expected_run_length"):
        loss_monitor.start(upper, expected_run_length=run_length)


@pytest.mark.parametrize(
    ("count", "run_length", "missed_at_most"), [(500, 1e6, 0.06), (5000, 1e6, 0.22), (500, 1e8, 0.01)]
)
def test_the_bound_covers_the_mean_the_more_surely_the_less_is_known_and_the_more_is_asked(
    count: int, run_length: float, missed_at_most: float
) -> None:
    rng, missed = random.Random(4), 0
    for _ in range(200):
        losses = [1.0 if rng.random() < 0.1 else 0.0 for _ in range(count)]
        reference = reference_loss.bounded(autocorrelation.of_values(losses), run_length)
        assert reference is not None
        assert reference.block == 1
        missed += reference.upper < 0.1
    assert missed <= missed_at_most * 200


def test_the_margin_halves_the_allowance_for_false_alarms() -> None:
    # h(z) = n ln(A) / A (module docstring of reference_loss), with h by numerical integration.
    z, steps = reference_loss.margin(5000, 1e6), 20_000
    beyond = [8.0 * i / steps for i in range(steps)]
    density = [math.exp(-((z + x) ** 2) / 2.0) / math.sqrt(2.0 * math.pi) for x in beyond]
    expected = sum(x * x * at for x, at in zip(beyond, density, strict=True)) * 8.0 / steps
    assert expected == pytest.approx(5000 * math.log(1e6) / 1e6, rel=1e-3)
    assert reference_loss.margin(1e6, 1e4) == pytest.approx(0.0, abs=1e-6)


def test_where_no_loss_was_seen_the_bound_is_not_zero() -> None:
    reference = reference_loss.bounded(autocorrelation.of_values([0.0] * 500), 1e6)
    assert reference is not None
    assert 1 / 500 < reference.upper < 20 / 500


def test_the_watch_changes_over_to_the_outcomes_in_service() -> None:
    state = loss_watch.start(reference_loss.start(500, 1e6, 0.08, 0.12), 0.01, 1e6)
    assert loss_watch.watching(state) == ReferenceSource.HELD_BACK
    assert state.monitor is not None
    assert state.monitor.null_mean == pytest.approx(0.13)
    for loss in [None, math.nan, *coin_flips(random.Random(6), 500, 0.1)]:
        state, alarm = loss_watch.update(state, loss)
        assert alarm is None
    assert loss_watch.watching(state) == ReferenceSource.IN_SERVICE
    reference = reference_loss.reference(state.reference)
    assert reference is not None
    assert state.monitor is not None
    assert state.monitor.reference_mean_upper == reference.upper > reference.mean
    assert (state.monitor.first_position, state.monitor.count) == (502, 0)
    assert WatchState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_without_a_reference_nothing_is_monitored() -> None:
    state = loss_watch.start(reference_loss.start(50, 100), 0.0, 100)
    for _ in range(49):
        state, alarm = loss_watch.update(state, 1.0)
        assert alarm is None
    assert (loss_watch.watching(state), state.monitor) == (None, None)


def test_a_change_before_the_reference_is_complete_is_found_against_held_back_rows() -> None:
    state = loss_watch.start(reference_loss.start(1000, 1e6, 0.08, 0.1), 0.0, 1e6)
    positions = list[int]()
    for loss in coin_flips(random.Random(1), 900, 0.4):
        state, alarm = loss_watch.update(state, loss)
        positions += [alarm.position] if alarm else []
    assert positions
    assert positions[0] < 100


def test_a_held_back_bound_is_checked_and_kept_within_the_unit_interval() -> None:
    assert reference_loss.start(500, 1e6, 0.9, 1.1).held_back_upper == 1.0
    for mean, upper in ((0.2, 0.1), (math.nan, 0.5), (-0.1, 0.5), (0.2, math.nan)):
        with pytest.raises(ValueError, match="in order"):
            reference_loss.start(500, 1e6, mean, upper)
    with pytest.raises(ValueError, match="or neither"):
        reference_loss.start(500, 1e6, 0.2)


def autocorrelated(rng: random.Random, count: int, mean: float, rho: float) -> list[float | None]:
    """0/1 losses whose probit follows an AR(1)."""
    beyond, z, losses = NormalDist().inv_cdf(1.0 - mean), rng.gauss(0, 1), list[float | None]()
    for _ in range(count):
        z = rho * z + math.sqrt(1.0 - rho * rho) * rng.gauss(0, 1)
        losses.append(1.0 if z > beyond else 0.0)
    return losses


def test_losses_that_hang_together_are_taken_in_blocks_and_raise_no_alarm() -> None:
    rng, alarms, singly = random.Random(2), 0, 0
    for _ in range(5):
        reference = reference_loss.bounded(autocorrelation.of_values(flat(autocorrelated(rng, 5000, 0.1, 0.9))), 1e4)
        assert reference is not None
        assert 20 <= reference.block <= 200
        losses = autocorrelated(rng, 20_000, 0.1, 0.9)
        in_blocks = loss_monitor.start(reference.upper, 0.0, 1e4, block=reference.block)
        alarms += len(loss_monitor.update_many(in_blocks, losses)[1])
        one_by_one = loss_monitor.start(reference.upper, 0.0, 1e4)
        singly += len(loss_monitor.update_many(one_by_one, losses)[1])
    assert alarms <= 10 + 3 * math.sqrt(10)
    assert singly > 100


def flat(losses: list[float | None]) -> list[float]:
    return [loss for loss in losses if loss is not None]


def test_a_block_is_judged_when_it_is_full_wherever_batches_end() -> None:
    losses = [*coin_flips(random.Random(3), 500, 0.1), None, *coin_flips(random.Random(4), 500, 0.5)]
    batch, alarms = loss_monitor.update_many(loss_monitor.start(0.2, block=7), losses)
    state, found = loss_monitor.start(0.2, block=7), list[LossAlarm]()
    for loss in losses:
        state, alarm = loss_monitor.update(LossMonitorState.from_json(json.loads(json.dumps(state.to_json()))), loss)
        found += [alarm] if alarm else []
    assert (state, found) == (batch, alarms)
    assert found
    assert (found[0].position + 1 - 1) % 7 == 0  # one of the outcomes before was invalid
    assert found[0].count % 7 == 0
    since = [loss for loss in losses[found[0].change_position : found[0].position + 1] if loss is not None]
    assert found[0].since_change_mean == pytest.approx(sum(since) / len(since))


def test_a_reference_that_hangs_together_too_much_monitors_nothing() -> None:
    state = loss_watch.start(reference_loss.start(200, 1e6, 0.1, 0.2), 0.0, 1e6)
    assert state.monitor is not None
    for i in range(200):
        state, _ = loss_watch.update(state, float(i // 25 % 2))
    assert (loss_watch.watching(state), state.monitor) == (None, None)
