"""Streamed scoring: a record with its inputs in, one prediction out, under what its log has shown."""

from __future__ import annotations

import dataclasses

import pytest
from onnx import TensorProto, helper

from services.serving.execution import output_of
from services.serving.loaded_models import LoadedModels
from services.serving.score import score_step
from shared.contracts.control import ReplicaReady
from shared.contracts.envelope import NEVER_MS
from shared.contracts.flow import PredictionMade
from shared.contracts.identity import split_hash
from shared.contracts.platform import Platform as PlatformState
from shared.contracts.topology import TaskSpec
from shared.runtime.onnx_model import OnnxModel
from shared.runtime.step import Context, Publish, Wait
from tests import builders as b
from tests.unit.serving.running import SCORED, Platform, artifact


def test_before_the_first_version_records_flow_with_their_inputs_and_no_answer() -> None:
    platform = Platform()
    platform.scoring(b.computed(), control=2)
    platform.settle()
    [made] = platform.predictions()
    assert (made.answered_by, made.outputs, made.champion) == (None, {}, None)
    assert made.inputs == b.inputs()
    assert (made.origin, made.record_id, made.entity, made.control) == ("stream", "t1", "c1", 2)


def test_the_champion_answers_with_what_its_artifact_says() -> None:
    platform = Platform().with_first_version()
    platform.scoring(b.computed())
    platform.settle()
    [made] = platform.predictions()
    assert made.answered_by == 1
    assert made.outputs[1].artifact_sha256 == platform.reference(1).sha256
    assert list(made.outputs[1].output) == OnnxModel(artifact(1)).predict_row(b.inputs())


def test_both_stand_side_by_side_and_the_hash_says_who_answers() -> None:
    platform = Platform().with_candidate(0.25)
    entities = [f"c{i}" for i in range(60)]
    platform.scoring(*(b.computed(record_id=f"t{i}", entity=entity) for i, entity in enumerate(entities)))
    platform.settle()
    made = platform.predictions()
    assert [one.entity for one in made] == entities
    for one in made:
        drawn = split_hash("o2", one.entity)
        assert set(one.outputs) == {1, 2}
        assert (one.split, one.share, one.candidate, one.rollout_id, one.step) == (drawn, 0.25, 2, "o2", 1)
        assert one.answered_by == (2 if drawn < 0.25 else 1)
    assert {one.answered_by for one in made} == {1, 2}


def test_a_shadow_never_answers() -> None:
    platform = Platform().with_candidate(0.0)
    platform.scoring(*(b.computed(record_id=f"t{i}", entity=f"c{i}") for i in range(200)))
    platform.settle()
    assert {one.answered_by for one in platform.predictions()} == {1}
    assert {tuple(one.outputs) for one in platform.predictions()} == {(1, 2)}


def test_an_entry_works_under_the_position_that_it_shows() -> None:
    platform = Platform().with_first_version()
    shown = len(platform.host.events("control.v1"))
    platform.decide(*platform.approved(2), b.promoted(2, former=1))
    platform.scoring(b.computed(record_id="t1"), control=shown)
    platform.scoring(b.computed(record_id="t2"))
    platform.settle()
    assert [one.answered_by for one in platform.predictions()] == [1, 2]


def test_a_task_waits_for_a_version_that_only_its_own_position_names() -> None:
    """After a restart the newest platform may have forgotten what the backlog was decided under."""
    platform = Platform().with_first_version()
    shown = len(platform.host.events("control.v1"))
    platform.decide(*platform.approved(2), b.promoted(2, former=1))
    platform.start()
    platform.scoring(b.computed(), control=shown)
    platform.settle()
    assert [one.answered_by for one in platform.predictions()] == [1]


def context(models: LoadedModels) -> Context:
    platform = PlatformState()
    for event in (b.founded(), b.applied(), b.registered(1), b.approved(1), b.promoted(1)):
        platform = platform.after(b.message(event))
    return Context(platform, NEVER_MS, TaskSpec("serving", "score", b.MODEL, SCORED, 0, ()))


def test_it_waits_until_every_version_in_play_is_loaded() -> None:
    models = LoadedModels()
    step, message, shown = score_step(models), b.message(b.computed()), context(models)
    assert step.ready is not None
    assert isinstance(step.ready(message, shown), Wait)
    assert [reference.sha256 for reference in models.demanded] == [b.SHA256]
    models.put(b.SHA256, OnnxModel(artifact(1)))
    assert step.ready(message, shown) is None
    assert list(models.demanded) == []


def test_a_version_without_a_finite_output_is_left_out_and_still_named() -> None:
    """What answers follows from the split alone; that it failed is told by its missing output."""
    models = LoadedModels()
    models.put(b.SHA256, constant_model(float("nan")))
    handler = score_step(models).handler(b.message(b.computed()))
    assert handler is not None
    _, outputs = handler(None, b.message(b.computed()), context(models))
    [published] = outputs
    assert isinstance(published, Publish)
    made = published.event
    assert isinstance(made, PredictionMade)
    assert (made.answered_by, made.outputs, made.champion) == (1, {}, 1)


def test_a_model_that_raises_says_nothing() -> None:
    model = OnnxModel(artifact(1))
    assert output_of(model, {**b.inputs(), "amount": "a text"}) is None
    assert output_of(model, b.inputs()) is not None


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_not_finite_is_no_output(value: float) -> None:
    assert output_of(constant_model(value), b.inputs()) is None
    assert output_of(constant_model(0.25), b.inputs()) == (0.25,)


def test_what_was_said_before_a_restart_is_not_said_again() -> None:
    platform = Platform().with_first_version()
    assert len(platform.said(ReplicaReady)) == 1
    platform.start()
    platform.scoring(b.computed())
    platform.settle()
    assert len(platform.predictions()) == 1
    assert len(platform.said(ReplicaReady)) == 1


def constant_model(value: float) -> OnnxModel:
    """An artifact whose output is the same for every row."""
    zero = helper.make_node("ReduceSum", ["numbers", "axis"], ["sum"], keepdims=1)
    nodes = [
        zero,
        helper.make_node("Shape", ["sum"], ["shape"]),
        helper.make_node("Expand", ["constant", "shape"], ["output"]),
    ]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("constant", TensorProto.FLOAT, [1, 1], [value]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1])],
        constants,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    entry = model.metadata_props.add()
    entry.key, entry.value = "headrace", '{"inputs": [{"name": "amount", "kind": "number"}], "classes": []}'
    return OnnxModel(model.SerializeToString())


def test_replaying_a_record_gives_the_same_prediction() -> None:
    platform = Platform().with_candidate(0.25)
    platform.scoring(b.computed())
    platform.settle()
    [first] = platform.predictions()
    model = OnnxModel(artifact(2))
    again = model.predict_row(dict(first.inputs))
    assert list(first.outputs[2].output) == pytest.approx(again, abs=1e-6)
    assert dataclasses.is_dataclass(platform.process.history.newest)
