"""Rows that the training tests fit: real files in time order, and a made stream with categories and missing values."""

from __future__ import annotations

import csv

import numpy as np

from services.training.dataset import Dataset, Kind, LabelledRow, Task
from tests.shared_data import shared_file

ELECTRICITY_INPUTS = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
BIKE_INPUTS = ("hr", "season", "temp", "hum", "windspeed", "workingday", "weathersit")
SHOP_SPEC: list[tuple[str, Kind]] = [
    ("amount", "number"),
    ("shop", "category"),
    ("abroad", "number"),
    ("merchant", "category"),
    ("since", "number"),
]


def electricity(rows: int) -> Dataset:
    return _read("electricity.csv", ELECTRICITY_INPUTS, "class", rows, "binary")


def bike_hours(rows: int) -> Dataset:
    return _read("bike-hour.csv", BIKE_INPUTS, "cnt", rows, "regression")


def purchases(rows: int, task: Task, seed: int = 0) -> Dataset:
    """Two category inputs (one of 200 values), a boolean, missing values in both kinds, and a number near 1.7e12."""
    draw = np.random.default_rng(seed)
    shops = ("food", "travel", "web", None, 'caf\u00e9 "x"')
    made: list[LabelledRow] = []
    for number in range(rows):
        shop = shops[int(draw.integers(len(shops)))]
        amount = float(draw.normal(50, 20)) if draw.random() > 0.1 else None
        abroad, since = bool(draw.integers(2)), float(draw.normal(1.7e12, 1e9))
        level = (amount or 50) / 20 - 2.5 + 1.5 * (shop == "travel") - 2 * abroad + (since > 1.7e12)
        level += float(draw.normal(0, 0.5))
        label = {"binary": level > 0, "regression": level * 100}.get(task) if task != "multiclass" else _band(level)
        inputs = {
            "amount": amount,
            "shop": shop,
            "abroad": abroad,
            "merchant": f"m{draw.integers(200)}",
            "since": since,
        }
        assert label is not None
        made.append(LabelledRow(f"p{number:05d}", number * 1000, inputs, label))
    return Dataset.from_rows(SHOP_SPEC, made, task)


def _band(level: float) -> str:
    return "low" if level < -1 else "high" if level > 1 else "middle"


def _read(name: str, inputs: tuple[str, ...], label: str, rows: int, task: Task) -> Dataset:
    with shared_file(name).open(encoding="utf-8", newline="") as file:
        records = [record for record, _ in zip(csv.DictReader(file), range(rows), strict=False)]
    made = [
        LabelledRow(f"{number:06d}", number, {key: float(record[key]) for key in inputs}, float(record[label]))
        for number, record in enumerate(records)
    ]
    return Dataset.from_rows([(key, "number") for key in inputs], made, task)
