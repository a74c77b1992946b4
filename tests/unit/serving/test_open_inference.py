"""Open Inference Protocol v2, held against the text of its specification."""

from __future__ import annotations

import struct
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from shared.runtime.onnx_model import OnnxModel
from tests import builders as b
from tests.unit.serving.running import SPEC, Client, Platform, artifact

INFER = f"/v2/models/{b.MODEL}/infer"
LENGTH = "Inference-Header-Content-Length"
ROWS = 3


def tensors(rows: int = ROWS) -> list[dict[str, Any]]:
    """The default inputs, `rows` times."""
    return [
        {"name": name, "shape": [rows], "datatype": "BYTES" if kind == "category" else "FP32",
         "data": [b.inputs()[name]] * rows}
        for name, kind in SPEC
    ]  # fmt: skip


def served() -> Client:
    return Platform().with_first_version().client()


def changed(name: str, **over: Any) -> list[dict[str, Any]]:
    return [{**tensor, **over} if tensor["name"] == name else tensor for tensor in tensors()]


def test_server_health_and_metadata() -> None:
    client = served()
    server = client.get("/v2").json()
    assert server["name"] == "headrace"
    assert "binary_tensor_data" in server["extensions"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    metadata = client.get(f"/v2/models/{b.MODEL}").json()
    assert metadata == client.get(f"/v2/models/{b.MODEL}/versions/1").json()
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"][0] == {"name": "amount", "datatype": "FP32", "shape": [-1, 1]}
    assert metadata["inputs"][1] == {"name": "category", "datatype": "BYTES", "shape": [-1, 1]}
    assert metadata["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [-1, 1]}]
    for path in (f"/v2/models/{b.MODEL}/ready", f"/v2/models/{b.MODEL}/versions/1/ready"):
        assert client.get(path).status_code == 200


def test_not_ready_is_a_4xx_with_a_reason() -> None:
    client = Platform()
    client.settle()
    answer = client.client().get(f"/v2/models/{b.MODEL}/ready")
    assert answer.status_code == 400
    assert "no version yet: 0 of 2000" in answer.json()["error"]
    assert client.client().get("/v2/models/other/ready").status_code == 400
    assert client.client().get(f"/v2/models/{b.MODEL}/versions/7/ready").status_code == 400


@pytest.mark.parametrize("path", [INFER, f"/v2/models/{b.MODEL}/versions/1/infer"])
def test_rows_in_outputs_out(path: str) -> None:
    answer = served().post(path, json={"id": "q7", "inputs": tensors()})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["model_name"], body["model_version"], body["id"]) == (b.MODEL, "1", "q7")
    [output] = body["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("output", "FP32", [ROWS, 1])
    assert output["data"] == OnnxModel(artifact(1)).predict_row(b.inputs()) * ROWS


def test_a_client_that_sends_no_json_content_type_is_understood() -> None:
    body = orjson.dumps({"inputs": tensors()})
    for content_type in ("", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded"):
        answer = served().post(INFER, content=body, headers={"content-type": content_type})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "over",
    [
        {"shape": [ROWS, 1]},
        {"shape": [ROWS, 1], "data": [[12.5]] * ROWS},
        {"datatype": "FP64"},
        {"datatype": "INT64", "data": [12] * ROWS},
        {"datatype": "BOOL", "data": [True] * ROWS},
        {"data": [None] * ROWS},
    ],
)
def test_shapes_and_datatypes_of_a_column(over: dict[str, Any]) -> None:
    answer = served().post(INFER, json={"inputs": changed("amount", **over)})
    assert answer.status_code == 200
    value = np.ravel(over.get("data", [12.5]))[0]
    expected = OnnxModel(artifact(1)).predict_row({**b.inputs(), "amount": None if value is None else float(value)})
    assert answer.json()["outputs"][0]["data"] == expected * ROWS


def binary_request(rows: int = ROWS, **request: Any) -> tuple[bytes, dict[str, str]]:
    inputs: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for tensor in tensors(rows):
        if tensor["datatype"] == "BYTES":
            chunk = b"".join(struct.pack("<I", len(text)) + text.encode() for text in tensor["data"])
        else:
            chunk = np.array(tensor["data"], "<f4").tobytes()
        chunks.append(chunk)
        inputs.append({**tensor, "data": None, "parameters": {"binary_data_size": len(chunk)}})
        del inputs[-1]["data"]
    header = orjson.dumps({"inputs": inputs, **request})
    return header + b"".join(chunks), {LENGTH: str(len(header))}


def output_of(answer: httpx.Response) -> list[float]:
    length = int(answer.headers[LENGTH])
    [output] = orjson.loads(answer.content[:length])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(answer.content) - length
    return np.frombuffer(answer.content[length:], "<f4").tolist()


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "output", "parameters": {"binary_data": True}}]},
    ],
)
def test_binary_tensors_in_and_out(asked: dict[str, Any]) -> None:
    content, headers = binary_request(**asked)
    answer = served().post(INFER, content=content, headers=headers)
    assert answer.status_code == 200
    assert output_of(answer) == OnnxModel(artifact(1)).predict_row(b.inputs()) * ROWS


def test_binary_in_and_json_out() -> None:
    content, headers = binary_request(outputs=[{"name": "output", "parameters": {"binary_data": False}}])
    answer = served().post(INFER, content=content, headers=headers)
    assert answer.json()["outputs"][0]["shape"] == [ROWS, 1]


@pytest.mark.parametrize(
    ("request_body", "said"),
    [
        (b"{", "is no JSON"),
        (b"[]", "expected an object with `inputs`"),
        (orjson.dumps({"inputs": tensors()[1:]}), "input 'amount' is missing"),
        (orjson.dumps({"inputs": [*tensors(), {**tensors()[0], "name": "more"}]}), "input 'more' is not known"),
        (orjson.dumps({"inputs": [*tensors(), tensors()[0]]}), "given twice"),
        (orjson.dumps({"inputs": changed("amount", datatype="STRING")}), "datatype 'STRING' is not known"),
        (orjson.dumps({"inputs": changed("amount", datatype="BYTES", data=["1"] * ROWS)}), "found BYTES"),
        (orjson.dumps({"inputs": changed("amount", data=["1"] * ROWS)}), "'1' is no FP32"),
        (orjson.dumps({"inputs": changed("amount", data=[1.0])}), "its shape says 3 values, and it has 1"),
        (orjson.dumps({"inputs": changed("amount", shape=[1, 3])}), "expected shape [n] or [n, 1]"),
        (orjson.dumps({"inputs": changed("amount", shape=[2], data=[1, 2])}), "different numbers of rows"),
        (orjson.dumps({"inputs": tensors(), "outputs": [{"name": "label"}]}), "output 'label' is not known"),
        (orjson.dumps({"inputs": tensors(), "parameters": []}), "`parameters`"),
        (orjson.dumps({"inputs": tensors()}) + b"x", "is no JSON"),
    ],
)
def test_what_is_wrong_is_said_as_error(request_body: bytes, said: str) -> None:
    answer = served().post(INFER, content=request_body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    assert said in answer.json()["error"]


@pytest.mark.parametrize(("length", "said"), [("x", "no number"), ("999999", "the body has"), ("5", "is no JSON")])
def test_a_wrong_length_of_the_json_is_said(length: str, said: str) -> None:
    content, _ = binary_request()
    answer = served().post(INFER, content=content, headers={LENGTH: length})
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_bytes_that_nobody_claims_are_refused() -> None:
    content, headers = binary_request()
    assert "follow the last tensor" in served().post(INFER, content=content + b"xy", headers=headers).json()["error"]


def test_unknown_models_and_versions_are_404_with_an_error() -> None:
    client = served()
    for path in ("/v2/models/other/infer", f"/v2/models/{b.MODEL}/versions/7/infer"):
        answer = client.post(path, json={"inputs": tensors()})
        assert answer.status_code == 404
        assert set(answer.json()) == {"error"}


def test_before_the_first_version_it_is_503_and_logged() -> None:
    platform = Platform()
    platform.settle()
    answer = platform.client().post(INFER, json={"inputs": tensors(1)})
    assert answer.status_code == 503
    platform.settle()
    assert [made.answered_by for made in platform.predictions()] == [None]


def test_each_row_by_split_is_a_fact_and_a_named_version_is_none() -> None:
    platform = Platform().with_candidate(0.0)
    client = platform.client()
    client.post(INFER, json={"id": "q1", "inputs": tensors(), "parameters": {"entity": "c9"}})
    client.post(f"/v2/models/{b.MODEL}/versions/2/infer", json={"id": "q2", "inputs": tensors()})
    platform.settle()
    made = platform.predictions()
    assert [(one.request_id, one.entity, one.record_id, one.answered_by) for one in made] == [
        ("q1", "c9", None, 1)
    ] * ROWS
    assert {tuple(one.outputs) for one in made} == {(1, 2)}


def test_a_version_in_shadow_can_be_asked_by_its_number() -> None:
    answer = Platform().with_candidate(0.0).client().post(
        f"/v2/models/{b.MODEL}/versions/2/infer", json={"inputs": tensors(1)}
    )  # fmt: skip
    assert answer.json()["model_version"] == "2"
    assert answer.json()["outputs"][0]["data"] == OnnxModel(artifact(2)).predict_row(b.inputs())
