"""An average of fits: the mean of the members' outputs, in the original and in one file."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import onnx
import pytest

from services.training.averaging import mean_outputs
from services.training.candidate import Candidate, candidate_of, final_model
from services.training.dataset import Dataset, LabelledRow, Task
from services.training.evaluation import Loss, Outputs, default_loss
from services.training.export import artifact_bytes, manifest, to_onnx
from services.training.fit import OneClassOnly
from services.training.fitted_model import FittedModel
from services.training.member_weights import member_weights
from services.training.members import Member, fit_members
from services.training.parity import check_parity
from shared.contracts.definitions import Search
from shared.runtime.onnx_model import OnnxModel
from tests.unit.training.streams import purchases

BOTH = Search(families=("hist_gradient_boosting", "linear"), trials=1)


def loss_of(task: Task) -> Loss:
    return dataclasses.replace(default_loss(task), scale=100.0)


def members_of(data: Dataset, windows: dict[str, int], search: Search = BOTH) -> list[Member]:
    return fit_members(
        data, windows, 100, search=search, seed=7, loss=loss_of(data.task), report=lambda fraction, doing: None
    )


def all_of(data: Dataset, windows: dict[str, int]) -> Candidate:
    """The plain mean of every member: with losses that tell nothing of them apart."""
    equal = [dataclasses.replace(m, losses=np.full(100, 0.5)) for m in members_of(data, windows)]
    return candidate_of(equal, data, loss_of(data.task))


@cache
def average(task: Task) -> FittedModel:
    """Of four members, fitted to `purchases(800, task)`."""
    return made_of(purchases(800, task))


def made_of(data: Dataset) -> FittedModel:
    return final_model(all_of(data, {"all": 0, "newest": len(data) // 2}), data, loss_of(data.task), 800)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_one_file_answers_as_the_mean_of_its_members(task: Task) -> None:
    data = purchases(800, task)
    model = average(task)
    assert len(model.members) == 4
    outputs = [member.predict(data.numbers, data.categories) for member in model.members]
    np.testing.assert_allclose(model.predict(data.numbers, data.categories), sum(outputs) / 4, rtol=1e-12)
    assert np.ptp(np.stack(outputs), axis=0).max() > 0.1
    report = check_parity(model, artifact_bytes(model), data)
    assert report.rows == 800
    assert report.largest_difference < 2e-6


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_each_member_counts_by_its_own_weight(task: Task) -> None:
    data = purchases(800, task)
    if task == "multiclass":  # the newer half lacks a class
        target = data.target.copy()
        target[400:][target[400:] == "high"] = "middle"
        data = dataclasses.replace(data, target=target)
    members, draw = members_of(data, {"all": 0, "newest": 400}), np.random.default_rng(7)
    apart = [
        dataclasses.replace(member, losses=draw.normal(level, 0.1, 100))
        for member, level in zip(members, (0.53, 0.5, 0.515, 0.54), strict=True)
    ]
    expected = member_weights([member.losses for member in apart])
    assert len(expected) == 4
    assert min(np.diff(sorted(expected.values()))) > 0.01
    candidate = candidate_of(apart, data, loss_of(task))
    model = final_model(candidate, data, loss_of(task), 800)
    told = model.parameters["members"]
    assert [(one["window"], one["family"]) for one in told] == [
        (apart[place].window, apart[place].model.family) for place in expected
    ]
    assert [one["weight"] for one in told] == pytest.approx(list(expected.values()))

    def weighed(outputs: Sequence[Outputs], classes: list[tuple[str, ...]]) -> Outputs:
        width = max(len(model.classes), 1)
        total = np.zeros((len(outputs[0]), width))
        for output, own, weight in zip(outputs, classes, expected.values(), strict=True):
            places = [model.classes.index(name) for name in own] if own else [0]
            total[:, places] += weight * output
        return total

    fitted = [member.predict(data.numbers, data.categories) for member in model.members]
    np.testing.assert_allclose(
        model.predict(data.numbers, data.categories), weighed(fitted, [m.classes for m in model.members]), rtol=1e-6
    )
    rows = candidate.judged.rows
    before = [apart[place].model.predict(rows.numbers, rows.categories) for place in expected]
    np.testing.assert_allclose(
        candidate.judged.outputs, weighed(before, [apart[place].model.classes for place in expected]), rtol=1e-6
    )
    assert check_parity(model, artifact_bytes(model), data).largest_difference < 2e-6


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_its_tensors_are_those_of_any_model(task: Task) -> None:
    graph = to_onnx(average(task)).graph
    assert [tensor.name for tensor in (*graph.input, *graph.output)] == ["numbers", "categories", "output"]
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert graph.output[0].type.tensor_type.shape.dim[1].dim_value == (3 if task == "multiclass" else 1)
    made = [name for node in graph.node for name in node.output] + [tensor.name for tensor in graph.initializer]
    assert len(made) == len(set(made))


def test_equal_data_give_equal_bytes() -> None:
    digests = {hashlib.sha256(artifact_bytes(made_of(purchases(800, "binary")))).hexdigest() for _ in range(2)}
    assert len(digests) == 1


def test_a_class_that_one_member_lacks_has_probability_0_there() -> None:
    made = purchases(800, "multiclass")
    target = made.target.copy()
    target[400:][target[400:] == "high"] = "middle"
    data = dataclasses.replace(made, target=target)
    model = made_of(data)
    assert {member.classes for member in model.members} == {("high", "low", "middle"), ("low", "middle")}
    assert model.classes == ("high", "low", "middle")
    outputs = model.predict(data.numbers, data.categories)
    np.testing.assert_allclose(outputs.sum(axis=1), 1.0, atol=1e-6)
    of_those_that_know = [
        member.predict(data.numbers, data.categories)[:, 0] for member in model.members if len(member.classes) == 3
    ]
    np.testing.assert_allclose(outputs[:, 0], sum(of_those_that_know) / 4, rtol=1e-12)
    assert check_parity(model, artifact_bytes(model), data).largest_difference < 2e-6


def test_columns_of_the_mean_go_by_name() -> None:
    mean = mean_outputs([np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]])], [("a", "c"), ("b", "c")], [0.6, 0.4])
    np.testing.assert_allclose(mean, [[0.54, 0.08, 0.38]], rtol=1e-6)


def test_what_was_measured_is_of_the_fits_that_had_not_seen_the_rows() -> None:
    data = purchases(800, "binary")
    candidate = all_of(data, {"all": 0, "newest": 400})
    judged = candidate.judged
    assert judged.rows.ids == data.ids[-100:]
    fits = [member.model.predict(judged.rows.numbers, judged.rows.categories) for member in candidate.members]
    np.testing.assert_allclose(judged.outputs, sum(fits) / 4, rtol=1e-12)
    loss = loss_of("binary")
    losses = loss.per_row(judged.outputs, judged.rows.target)
    np.testing.assert_array_equal(judged.losses, loss.bounded(losses))
    said = manifest(final_model(candidate, data, loss, 800))
    assert said["loss"]["mean"] == pytest.approx(losses.mean())
    assert (said["rows"], said["fitted_rows"], said["loss"]["rows"]) == (800, 800, 100)
    assert said["dataset_sha256"] == data.digest()
    assert [member["window"] for member in said["parameters"]["members"]] == ["all", "all", "newest", "newest"]


def test_one_member_alone_is_no_average() -> None:
    data = purchases(800, "binary")
    members = members_of(data, {"newest": 300})
    losses = [np.full(100, 0.1), np.full(100, 0.9)]
    apart = [dataclasses.replace(m, losses=each) for m, each in zip(members, losses, strict=True)]
    candidate = candidate_of(apart, data, loss_of("binary"))
    model = final_model(candidate, data, loss_of("binary"), 800)
    assert (model.family, model.beside, candidate.window) == ("hist_gradient_boosting", (), "newest")
    assert model.parameters == members[0].model.parameters
    assert model.loss == members[0].model.loss
    assert model.dataset_sha256 == data[300:].digest()
    assert OnnxModel(artifact_bytes(model)).manifest["rows"] == 500


def test_each_window_and_family_is_a_member_and_one_name_of_a_family_is_enough() -> None:
    data = purchases(400, "binary")
    search = Search(families=("linear", "logistic_regression", "hist_gradient_boosting"), trials=2)
    members = members_of(data, {"all": 0, "newest": 200}, search)
    assert [(member.window, member.model.family, member.model.fitted_rows) for member in members] == [
        ("all", "logistic_regression", 300),
        ("all", "hist_gradient_boosting", 300),
        ("newest", "logistic_regression", 200),
        ("newest", "hist_gradient_boosting", 200),
    ]
    assert all(len(member.model.trials) == 2 for member in members)
    for member in members:
        best = min(member.model.trials, key=lambda trial: trial.loss)
        assert member.model.parameters == best.parameters


def test_windows_of_one_class_are_left_out_unless_all_are() -> None:
    rows = [LabelledRow(f"r{i:03d}", i, {"x": float(i % 7)}, int(i < 200 and i % 7 > 3)) for i in range(500)]
    data = Dataset.from_rows([("x", "number")], rows, "binary")
    assert {member.window for member in members_of(data, {"all": 0, "newest": 250})} == {"all"}
    with pytest.raises(OneClassOnly, match="label 0"):
        members_of(data, {"newest": 250})
