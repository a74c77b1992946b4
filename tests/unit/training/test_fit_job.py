"""A run from decided outcomes to a checked artifact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.training import fit_process
from services.training.dataset import Kind
from services.training.fit import TooFewRows
from services.training.fit_job import run_job
from services.training.fit_process import FitFailed, FitProcess
from services.training.fit_worker import thinned
from services.training.job import DecidedRow, FitJob
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
    assert (result.fitted_from, result.window) == (0, "all")
    assert 0 < result.fitted_to < 500
    assert OnnxModel(result.artifact).manifest["family"] == result.family


def test_after_a_change_the_window_since_it_wins() -> None:
    before = run_job(job(rows(900)), silent)
    turned = rows(1800, turn=900)
    result = run_job(job(turned, since=900, champion=1, champion_artifact=before.artifact), silent)
    assert result.window == "since change"
    assert set(result.windows) == {"since change", "all"}
    assert result.fitted_from == 900
    assert result.gate.against == 1
    assert result.gate.mean_difference < -0.1


def test_no_row_that_judges_was_fitted_on() -> None:
    result = run_job(job(rows(1000)), silent)
    assert result.fitted_to + result.gate.rows == 1000


def test_the_same_job_gives_the_same_result() -> None:
    first, second = run_job(job(rows(400)), silent), run_job(job(rows(400)), silent)
    assert first.artifact == second.artifact
    assert first.gate == second.gate


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(TooFewRows, match="30 labelled rows"):
        run_job(job(rows(30)), silent)


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
