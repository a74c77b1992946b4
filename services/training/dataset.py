"""Labelled rows as columns: what every fit, evaluation and reference is computed from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.runtime.onnx_model import CATEGORY, NUMBER, InputValue, category_of, number_of

Task: TypeAlias = Literal["binary", "multiclass", "regression"]
Kind: TypeAlias = Literal["number", "category"]
Label: TypeAlias = float | int | bool | str


class LabelMismatch(ValueError):
    """A label does not fit the model's task."""

    def __init__(self, row_id: str, label: object, expected: str) -> None:
        self.row_id = row_id
        super().__init__(
            f"label of row {row_id!r} is {label!r}, expected {expected}. "
            "Correct the label source's field, or the model's task, under a new name."
        )


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One matured outcome: the inputs as they were served, and the label in force."""

    id: str
    time_ms: int
    inputs: Mapping[str, InputValue]
    label: Label


@dataclass(frozen=True)
class Dataset:
    """Rows in the order of (event time, id), as columns.

    `numbers` float32 [n, F], NaN = missing; `categories` str objects [n, C], '' = missing; each in the order in which
    `names` lists the inputs of that kind. `target` [n]: int64 0/1 (binary), str objects (multiclass), float64
    (regression).
    """

    task: Task
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    numbers: npt.NDArray[np.float32]
    categories: npt.NDArray[np.object_]
    target: npt.NDArray[Any]
    ids: tuple[str, ...]
    time_ms: npt.NDArray[np.int64]

    @classmethod
    def from_rows(cls, input_spec: Sequence[tuple[str, Kind]], rows: Sequence[LabelledRow], task: Task) -> Dataset:
        """Raises InputTypeMismatch (shared.runtime.onnx_model) or LabelMismatch. An absent input counts as missing."""
        ordered = sorted(rows, key=lambda row: (row.time_ms, row.id))
        number_names = [name for name, kind in input_spec if kind == NUMBER]
        category_names = [name for name, kind in input_spec if kind == CATEGORY]
        numbers = np.empty((len(ordered), len(number_names)), dtype=np.float32)
        categories = np.empty((len(ordered), len(category_names)), dtype=object)
        for column, name in enumerate(number_names):
            numbers[:, column] = [number_of(row.inputs.get(name), name) for row in ordered]
        for column, name in enumerate(category_names):
            categories[:, column] = [category_of(row.inputs.get(name), name) for row in ordered]
        return cls(
            task=task,
            names=tuple(name for name, _ in input_spec),
            kinds=tuple(kind for _, kind in input_spec),
            numbers=numbers,
            categories=categories,
            target=_target(ordered, task),
            ids=tuple(row.id for row in ordered),
            time_ms=np.array([row.time_ms for row in ordered], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> Dataset:
        """The rows at these positions, as a dataset of its own."""
        return Dataset(
            task=self.task,
            names=self.names,
            kinds=self.kinds,
            numbers=self.numbers[rows],
            categories=self.categories[rows],
            target=self.target[rows],
            ids=self.ids[rows],
            time_ms=self.time_ms[rows],
        )

    @property
    def number_names(self) -> tuple[str, ...]:
        return tuple(name for name, kind in zip(self.names, self.kinds, strict=True) if kind == NUMBER)

    @property
    def category_names(self) -> tuple[str, ...]:
        return tuple(name for name, kind in zip(self.names, self.kinds, strict=True) if kind == CATEGORY)

    def digest(self) -> str:
        """sha256 (hex) over task, inputs and every row: the same rows give the same digest on any machine."""
        texts = [self.task, self.names, self.kinds, self.ids, self.categories.tolist()]
        target = self.target.tolist() if self.task == "multiclass" else None
        # One bit pattern for NaN and one for zero: which of them arithmetic left behind says nothing about the rows.
        numbers = np.where(np.isnan(self.numbers), np.float32("nan"), self.numbers + np.float32(0)).astype("<f4")
        sha256 = hashlib.sha256(json.dumps([*texts, target], separators=(",", ":")).encode())
        sha256.update(np.ascontiguousarray(numbers).tobytes())
        sha256.update(self.time_ms.astype("<i8").tobytes())
        if self.task != "multiclass":
            sha256.update(self.target.astype("<f8").tobytes())
        return sha256.hexdigest()


def class_name(label: Label) -> str:
    """A class as manifests carry it: 1, 1.0 and "1" are one class; booleans are true and false."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def label_fits(label: Label, task: Task) -> bool:
    """Whether a label is one that a model of this task can learn."""
    if task == "multiclass":
        return True
    if isinstance(label, str):
        return False
    return label in (0, 1) if task == "binary" else math.isfinite(label)


def _target(rows: Sequence[LabelledRow], task: Task) -> npt.NDArray[Any]:
    if task == "multiclass":
        names = np.empty(len(rows), dtype=object)
        names[:] = [class_name(row.label) for row in rows]
        return names
    if task == "binary":
        return np.array([_binary(row) for row in rows], dtype=np.int64)
    return np.array([_value(row) for row in rows], dtype=np.float64)


def _binary(row: LabelledRow) -> int:
    if isinstance(row.label, str) or not label_fits(row.label, "binary"):
        raise LabelMismatch(row.id, row.label, "0 or 1 (or false or true)")
    return int(row.label)


def _value(row: LabelledRow) -> float:
    if isinstance(row.label, str) or not label_fits(row.label, "regression"):
        raise LabelMismatch(row.id, row.label, "a finite number")
    return float(row.label)
