"""A run from decided outcomes to a checked artifact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.training import fit_process
from services.training.dataset import Dataset, Kind, LabelledRow, LabelMismatch
from services.training.fit import TooFewRows, fit_one
from services.training.fit_job import run_job
from services.training.fit_process import FitProcess
from services.training.fit_worker import thinned
from services.training.job import DecidedRow, FitFailed, FitJob
from shared.contracts.expected_loss import ExpectedLoss
from shared.runtime.onnx_model import OnnxModel
from tests.builders import VIEW, model

SPEC: tuple[tuple[str, Kind], ...] = (("amount", "number"), ("category", "category"))


def rows(count: int, turn: int | None = None, seed: int = 1) -> list[DecidedRow]:
    """Label 1 where amount is high; from `turn` on, where it is low."""
    random = np.random.default_rng(seed)
    found: list[DecidedRow] = []
    for i in range(count):
        amount, noise = float(random.uniform(0, 100)), random.uniform() < 0.05
        high = (amount > 50) ^ (turn is not None and i >= turn) ^ bool(noise)
        found.append(DecidedRow(i, f"r{i:05}", i * 1000, {"amount": amount, "category": "food"}, float(high)))
    return found


def job(decided: list[DecidedRow], **over: object) -> FitJob:
    definition = model(training={"search": {"families": ["linear"], "trials": 1}, "minimum_rows": 50})
    plain = FitJob("run", definition, SPEC, decided, None, 7, None, None)
    return replace(plain, **over)


def silent(fraction: float, doing: str) -> None:
    """Nobody watches."""


def test_a_first_run_beats_the_constant_predictor() -> None:
    result = run_job(job(rows(500)), silent)
    assert result.gate.against is None
    assert result.gate.mean_difference < -0.05
    assert (result.fitted_from, result.window) == (0, "all + newest 200")
    assert OnnxModel(result.artifact).manifest["family"] == result.family


def test_after_a_change_the_windows_of_older_rows_are_out() -> None:
    before = run_job(job(rows(900)), silent)
    turned = rows(1800, turn=900)
    result = run_job(job(turned, since=900, champion=1, champion_artifact=before.artifact), silent)
    assert "since change" in result.window
    assert set(result.windows) == {"since change", "newest 200", "all"}
    assert result.windows["all"] > result.windows["since change"] + 0.05
    assert result.fitted_from >= 900
    assert result.fitted_to == 1800
    assert result.gate.against == 1
    assert result.gate.mean_difference < -0.1


def test_an_average_tells_its_members_and_its_artifact_answers_as_their_mean() -> None:
    result = run_job(job(rows(1800, turn=900), since=900), silent)
    members = result.parameters["members"]
    assert result.family == "average"
    assert [member["loss"] for member in members] == sorted(member["loss"] for member in members)
    assert [member["family"] for member in members] == ["logistic_regression"] * 2
    assert all(set(member) == {"family", "window", "parameters", "loss", "weight"} for member in members)
    assert {member["window"] for member in members} == set(result.window.split(" + "))
    assert min(result.windows.values()) == pytest.approx(members[0]["loss"])
    manifest = OnnxModel(result.artifact).manifest
    assert (manifest["family"], manifest["parameters"]) == ("average", result.parameters)
    assert manifest["loss"]["rows"] == result.gate.rows
    assert manifest["loss"]["bounded_mean"] == pytest.approx(result.gate.candidate_loss)


def test_rows_that_judge_have_no_part_in_what_they_measure() -> None:
    plain = rows(1000)
    first = run_job(job(plain), silent)
    judged_from = first.judged_from
    assert judged_from == 1000 - first.gate.rows
    assert (first.fitted_from, first.fitted_to) == (0, 1000)
    turned = [replace(row, label=1.0 - float(row.label)) if row.position >= judged_from else row for row in plain]
    second = run_job(job(turned), silent)
    # What said high says high still: only the labels beside it have turned. So no fit that was measured saw them.
    assert second.metrics["accuracy"] == pytest.approx(1.0 - first.metrics["accuracy"])
    assert second.artifact != first.artifact


def test_the_newest_rows_are_fitted_once_they_have_judged() -> None:
    plain = rows(800)
    whole = model(training={"search": {"families": ["linear"], "trials": 1}, "minimum_rows": 50, "window": "all"})
    result = run_job(job(plain, model=whole), silent)
    manifest = OnnxModel(result.artifact).manifest
    assert (manifest["rows"], manifest["fitted_rows"]) == (800, 800)
    data = Dataset.from_rows(SPEC, [LabelledRow(r.record_id, r.time_ms, r.inputs, r.label) for r in plain], "binary")
    parameters = {"C": 1.0}
    again = fit_one(data, "logistic_regression", parameters, 7).predict(data.numbers, data.categories)
    shipped = OnnxModel(result.artifact).predict_columns(data.numbers, data.categories)
    np.testing.assert_allclose(shipped, again, atol=1e-6)
    older = data[: result.judged_from]
    before = fit_one(older, "logistic_regression", parameters, 7).predict(data.numbers, data.categories)
    assert np.abs(shipped - before).max() > 1e-4


def test_the_same_job_gives_the_same_result() -> None:
    first, second = run_job(job(rows(400)), silent), run_job(job(rows(400)), silent)
    assert first.artifact == second.artifact
    assert first.gate == second.gate


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(TooFewRows, match="30 labelled rows"):
        run_job(job(rows(30)), silent)


@pytest.mark.parametrize("label", [2.0, float("nan"), "yes"])
def test_rows_whose_label_the_task_cannot_have_are_left_out_and_counted(label: float | str) -> None:
    decided = rows(400)
    spoilt = [replace(row, label=label) if row.position % 100 == 7 else row for row in decided]
    found = run_job(job(spoilt), silent)
    assert found.unusable_labels == 4
    without = run_job(job([row for row in decided if row.position % 100 != 7]), silent)
    assert (found.artifact, found.gate, without.unusable_labels) == (without.artifact, without.gate, 0)


def test_where_too_few_labels_are_left_one_of_the_others_is_named() -> None:
    with pytest.raises(LabelMismatch, match="label of row 'r00000'"):
        run_job(job([replace(row, label=2.0) for row in rows(400)]), silent)


def test_progress_only_rises() -> None:
    heard: list[float] = []
    run_job(job(rows(1200, turn=600), since=600), lambda fraction, doing: heard.append(fraction))
    assert heard == sorted(heard)
    assert heard[-1] == 0.95


def test_a_process_of_its_own_gives_the_same_and_says_why_it_fails() -> None:
    fitter = FitProcess()
    try:
        here, there = run_job(job(rows(400)), silent), fitter(job(rows(400)), silent)
        assert there.artifact == here.artifact
        assert there.gate == here.gate
        assert (there.parity_rows, there.parity_largest) == (here.parity_rows, here.parity_largest)
        assert (there.judged_from, there.parameters) == (here.judged_from, here.parameters)
        with pytest.raises(FitFailed, match="TooFewRows"):
            fitter(job(rows(30)), silent)
        assert fitter(job(rows(400)), silent).artifact == here.artifact
    finally:
        fitter.close()


def test_a_job_that_cannot_be_read_has_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit_process._do(tmp_path / "gone")
    assert "FileNotFoundError" in json.loads(capsys.readouterr().out)["failed"]


def test_a_reference_fits_into_an_event() -> None:
    result = run_job(job(rows(500)), silent)
    reference = thinned(result.manifest["reference"])
    full = result.manifest["reference"]["numbers"]["amount"]["quantiles"]
    assert len(reference["numbers"]["amount"]["quantiles"]) == 33
    assert reference["numbers"]["amount"]["quantiles"][::16] == full[::128]
    assert len(json.dumps(reference)) < 2_000


def test_a_window_of_one_class_leaves_the_others() -> None:
    before = run_job(job(rows(900)), silent)
    rare = [replace(row, label=0.0) if row.position >= 900 else row for row in rows(1300)]
    result = run_job(job(rare, since=900, champion=1, champion_artifact=before.artifact), silent)
    assert "since change" not in result.windows
    assert "all" in result.windows


def test_no_family_is_refused() -> None:
    nothing = model(training={"search": {"families": [], "trials": 1}, "minimum_rows": 50})
    with pytest.raises(ValueError, match="Name at least one family"):
        run_job(job(rows(300), model=nothing), silent)


def test_rows_that_the_champion_was_fitted_on_are_left_out_of_the_comparison() -> None:
    plain = rows(1000)
    champion = run_job(job(plain[:900]), silent).artifact
    beside = run_job(job(plain, champion=1, champion_artifact=champion), silent)
    assert 1000 - beside.judged_from == 125
    assert (beside.gate.rows, beside.gate.seen) == (100, 0)
    assert beside.manifest["loss"]["rows"] == 125
    of_all = run_job(job(plain), silent)
    assert of_all.gate.rows == 125
    assert beside.gate.candidate_loss != of_all.gate.candidate_loss


def test_with_too_few_others_they_count_and_it_is_said() -> None:
    plain = rows(1000)
    champion = run_job(job(plain[:980]), silent).artifact
    gate = run_job(job(plain, champion=1, champion_artifact=champion), silent).gate
    assert (gate.rows, gate.seen) == (125, 105)


def test_the_artifact_says_what_the_version_is_expected_to_lose() -> None:
    result = run_job(job(rows(1500)), silent)
    manifest = OnnxModel(result.artifact).manifest
    assert manifest["expected_loss"] == result.manifest["expected_loss"]
    expected = ExpectedLoss.from_json(manifest["expected_loss"])
    # Near the border the version is unsure, and far from it sure.
    near, far = (expected.of({"amount": a, "category": "food"}, [p]) for a, p in ((50.0, 0.5), (95.0, 0.95)))
    assert near > far
    assert run_job(job(rows(1500)), silent).artifact == result.artifact


def test_views_of_the_definition_are_in_the_reference() -> None:
    name = f"{VIEW}.count_24h"
    decided = [replace(row, inputs={**row.inputs, name: float(row.position % 4)}) for row in rows(400)]
    spec: tuple[tuple[str, Kind], ...] = (*SPEC, (name, "number"))
    reference = thinned(run_job(job(decided, input_spec=spec), silent).manifest["reference"])
    assert reference["views"] == {VIEW: {"inputs": [name], "empty": 0.25}}
