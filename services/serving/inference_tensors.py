"""Tensors of the Open Inference Protocol v2, as JSON or in the binary tensor extension.

Sources: the protocol's REST specification (github.com/kserve/open-inference-protocol) and its extension for binary
data (github.com/triton-inference-server/server, protocol/extension_binary_data). One tensor is one input column.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import orjson

from services.serving.refused import Refused
from shared.contracts.flow import Inputs, InputValue
from shared.runtime.onnx_model import CATEGORY, OUTPUT_TENSOR

MOST_ROWS = 10_000
_NUMBERS = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
TEXT = "BYTES"


@dataclass(frozen=True, slots=True)
class InferRequest:
    """`columns`: values by input name, as they came. `binary`: whether the output is asked for as bytes."""

    id: str
    columns: Mapping[str, tuple[str, list[Any]]]
    parameters: Mapping[str, Any]
    binary: bool


def read_request(body: bytes, header_bytes: int | None) -> InferRequest:
    """Raises Refused (400). `header_bytes`: length of the JSON in front of binary tensors, None if all is JSON."""
    if header_bytes is not None and not 0 <= header_bytes <= len(body):
        raise Refused(400, f"Inference-Header-Content-Length says {header_bytes}, and the body has {len(body)} bytes")
    header = body if header_bytes is None else body[:header_bytes]
    try:
        request = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the request is no JSON ({error}); with binary tensors say how long its JSON is in the "
                           "header Inference-Header-Content-Length") from error  # fmt: skip
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
        raise Refused(400, "expected an object with `inputs`, a list of tensors")
    rest = memoryview(body)[len(header) :]
    columns: dict[str, tuple[str, list[Any]]] = {}
    for tensor in request["inputs"]:
        name, datatype, values, used = _column(tensor, rest)
        if name in columns:
            raise Refused(400, f"input {name!r} is given twice")
        columns[name] = datatype, values
        rest = rest[used:]
    if rest:
        raise Refused(400, f"{len(rest)} bytes follow the last tensor: compare each binary_data_size")
    parameters = _mapping(request.get("parameters"))
    return InferRequest(str(request.get("id") or ""), columns, parameters, _binary(request, parameters))


def _binary(request: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    binary = bool(parameters.get("binary_data_output", False))
    for output in request.get("outputs") or ():
        name = output.get("name") if isinstance(output, dict) else output
        if name != OUTPUT_TENSOR:
            raise Refused(400, f"output {name!r} is not known: the only one is {OUTPUT_TENSOR!r}")
        binary = bool(_mapping(output.get("parameters")).get("binary_data", binary))
    return binary


def _column(tensor: object, rest: memoryview) -> tuple[str, str, list[Any], int]:
    """Name, datatype and values of one tensor, and how many of the binary bytes it took."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise Refused(400, "each input is an object with name, shape, datatype and data")
    given = cast(dict[str, Any], tensor)
    name, datatype = str(given["name"]), given.get("datatype")
    if datatype != TEXT and datatype not in _NUMBERS:
        raise Refused(400, f"input {name!r}: datatype {datatype!r} is not known; {', '.join((*_NUMBERS, TEXT))} are")
    rows = _rows(name, given.get("shape"))
    size = _mapping(given.get("parameters")).get("binary_data_size")
    if size is None:
        values = list(_flat(given.get("data")))
        _check_json(name, datatype, values)
    else:
        if not isinstance(size, int) or not 0 <= size <= len(rest):
            raise Refused(400, f"input {name!r}: binary_data_size is {size!r}, and {len(rest)} bytes are left")
        values = list(_texts(name, rest[:size])) if datatype == TEXT else _numbers(name, datatype, rest[:size])
    if len(values) != rows:
        raise Refused(400, f"input {name!r}: its shape says {rows} values, and it has {len(values)}")
    return name, datatype, values, size or 0


def _rows(name: str, shape: object) -> int:
    sizes = cast(list[object], shape) if isinstance(shape, list) else []
    if len(sizes) not in (1, 2) or not all(isinstance(n, int) and n > 0 for n in sizes) or sizes[1:] not in ([], [1]):
        raise Refused(400, f"input {name!r}: expected shape [n] or [n, 1] for one column, found {shape!r}")
    rows = cast(int, sizes[0])
    if rows > MOST_ROWS:
        raise Refused(400, f"input {name!r}: {rows} rows; a request holds at most {MOST_ROWS}")
    return rows


def _flat(data: object) -> Iterator[Any]:
    if not isinstance(data, list):
        yield data
        return
    for part in cast(list[object], data):
        yield from _flat(part)


def _check_json(name: str, datatype: str, values: Iterable[object]) -> None:
    fits = str if datatype == TEXT else bool if datatype == "BOOL" else (int, float)
    for value in values:
        number_as_bool = isinstance(value, bool) and datatype != "BOOL"
        if value is not None and (number_as_bool or not isinstance(value, fits)):
            raise Refused(400, f"input {name!r}: {value!r} is no {datatype}; null stands for a missing value")


def _numbers(name: str, datatype: str, data: memoryview) -> list[Any]:
    kind = np.dtype(_NUMBERS[datatype])
    if len(data) % kind.itemsize:
        raise Refused(400, f"input {name!r}: {len(data)} bytes are no whole number of {datatype}")
    return np.frombuffer(data, kind).tolist()


def _texts(name: str, data: memoryview) -> Iterator[str]:
    """Each text behind its length, four bytes, little-endian."""
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise Refused(400, f"input {name!r}: its bytes end within the length of a text")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        if at > len(data):
            raise Refused(400, f"input {name!r}: its bytes end within a text of {length} bytes")
        try:
            yield bytes(data[at - length : at]).decode()
        except UnicodeDecodeError as error:
            raise Refused(400, f"input {name!r}: a text is no UTF-8 ({error})") from error


def rows_of(request: InferRequest, names_and_kinds: Sequence[tuple[str, str]]) -> list[Inputs]:
    """The rows of a request as a model's inputs, numbers as the float32 that it sees. Raises Refused (400)."""
    expected = dict(names_and_kinds)
    for name in expected.keys() - request.columns.keys():
        raise Refused(400, f"input {name!r} is missing: the model takes {', '.join(expected)}")
    for name in request.columns.keys() - expected.keys():
        raise Refused(400, f"input {name!r} is not known: the model takes {', '.join(expected)}")
    columns = {name: _as_seen(name, kind, *request.columns[name]) for name, kind in names_and_kinds}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise Refused(400, f"the inputs have different numbers of rows: {', '.join(map(str, sorted(lengths)))}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _as_seen(name: str, kind: str, datatype: str, values: list[Any]) -> list[InputValue]:
    if (kind == CATEGORY) != (datatype == TEXT):
        fits = TEXT if kind == CATEGORY else f"a number ({', '.join(_NUMBERS)})"
        raise Refused(400, f"input {name!r} is {fits}, found {datatype}")
    if kind == CATEGORY:
        return values
    with np.errstate(over="ignore"):
        seen = np.array([np.nan if value is None else value for value in values], np.float64).astype(np.float32)
    return [float(value) if np.isfinite(value) else None for value in seen]


def write_response(
    header: dict[str, Any], outputs: Sequence[Sequence[float]], binary: bool
) -> tuple[bytes, int | None]:
    """The body with one FP32 tensor [n, K], and the length of its JSON if bytes follow."""
    tensor: dict[str, Any] = {"name": OUTPUT_TENSOR, "datatype": "FP32", "shape": [len(outputs), len(outputs[0])]}
    values = np.array(outputs, "<f4")
    if not binary:
        tensor["data"] = [value for row in outputs for value in row]
        return orjson.dumps({**header, "outputs": [tensor]}), None
    tensor["parameters"] = {"binary_data_size": values.nbytes}
    json = orjson.dumps({**header, "outputs": [tensor]})
    return json + values.tobytes(), len(json)


def _mapping(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(400, f"expected `parameters` as an object, found {value!r}")
    return cast(dict[str, Any], value)
