"""What a definition may say of the detector that watches a model's loss."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pydantic import ValidationError
from river import drift

from shared.contracts.definition_notes import notes
from shared.contracts.definitions import Monitor
from shared.contracts.detectors import PARAMETERS, Detector, complete
from tests import builders as b

RIVERS: dict[Detector, Any] = {
    Detector.ADWIN: drift.ADWIN,
    Detector.PAGE_HINKLEY: drift.PageHinkley,
    Detector.KSWIN: drift.KSWIN,
}
FIXED = {Detector.ADWIN: set[str](), Detector.PAGE_HINKLEY: {"mode"}, Detector.KSWIN: {"window"}}


@pytest.mark.parametrize("detector", RIVERS)
def test_the_table_has_the_names_and_defaults_of_rivers_constructors(detector: Detector) -> None:
    theirs = inspect.signature(RIVERS[detector]).parameters
    assert set(PARAMETERS[detector]) == set(theirs) - FIXED[detector]
    for name, parameter in PARAMETERS[detector].items():
        default = theirs[name].default
        assert parameter.default == (7 if name == "seed" else default), name  # river's own seed is another every time
        assert parameter.whole == (name == "seed" or isinstance(default, int)), name


@pytest.mark.parametrize("detector", RIVERS)
def test_rivers_detectors_take_every_limit_of_the_table(detector: Detector) -> None:
    table = PARAMETERS[detector]
    for bound in ("lowest", "highest"):
        given = {n: int(getattr(p, bound)) if p.whole else getattr(p, bound) for n, p in table.items()}
        made = RIVERS[detector](**complete(detector, given))
        for loss in (0.0, 1.0) * 40:
            made.update(loss)


def test_what_is_not_given_has_its_default_and_numbers_their_type() -> None:
    assert complete(Detector.PAGE_HINKLEY, {"threshold": 5}) == {
        "min_instances": 30, "delta": 0.005, "threshold": 5.0, "alpha": 0.9999,
    }  # fmt: skip
    assert isinstance(complete(Detector.PAGE_HINKLEY, {"threshold": 5})["threshold"], float)
    assert complete(Detector.E_DETECTOR, {}) == {}


@pytest.mark.parametrize(
    ("monitor", "said"),
    [
        ({"detector": "adwim"}, "Input should be 'e_detector', 'adwin', 'page_hinkley' or 'kswin'"),
        ({"detector": "adwin", "detector_parameters": {"dleta": 0.1}}, "no parameter 'dleta'; did you mean delta?"),
        ({"detector": "page_hinkley", "detector_parameters": {"mode": 1}}, "page_hinkley has no parameter 'mode'"),
        ({"detector": "adwin", "detector_parameters": {"delta": 2.0}}, "is 2.0; it lies from 1e-12 to 1"),
        ({"detector": "adwin", "detector_parameters": {"clock": 1.5}}, "is a whole number, and 1.5 is none"),
        ({"detector": "adwin", "detector_parameters": {"clock": True}}, "Input should be a valid"),
        ({"detector": "kswin", "detector_parameters": {"stat_size": 60}}, "make it at least 120"),
        ({"detector_parameters": {"delta": 0.1}}, "e_detector takes none"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_does(monitor: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Monitor.written(monitor)
    assert said in str(refused.value)


def test_a_definition_survives_the_log() -> None:
    model = b.model(monitor={"detector": "kswin", "detector_parameters": {"alpha": 0.001, "window_size": 200}})
    assert type(model).of_json(model.as_json()) == model


def test_a_detector_without_a_guarantee_is_said_to_have_none() -> None:
    assert notes([b.source(), b.model(), b.model(monitor={"expected_run_length": 500})]) == []
    (note,) = notes([b.source(), b.model(monitor={"detector": "adwin", "tolerance": 0.02})])
    assert "detector adwin guarantees no number of outcomes between false alarms" in note
    assert "does not use tolerance:" in note
    assert f"headrace backtest drift {b.MODEL} --detector adwin" in note
