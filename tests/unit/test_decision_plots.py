"""The plots of the benchmark of the decisions."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import _losses, _plots
from tests.reports import Row


def rows() -> list[Row]:
    """As the part `losses` leaves them."""
    delays = [
        Row(name, value, value - 9.0, value + 9.0, "outcomes")
        for mean, value in ((0.15, 800.0), (0.2, 230.0), (0.3, 77.0))
        for name in (f"delay, i.i.d. losses, 0.10 -> {mean:.2f}", "  ADWIN")
    ]
    sizes = [
        Row(name, 0.5, 0.2, 1.5, "a million outcomes")
        for size in _losses.SIZES
        for name in (_losses.of_size(size), _losses.PLAIN)
    ]
    return [*delays, *sizes]


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    first = _plots.drawn(1, rows(), tmp_path / "one")
    again = _plots.drawn(1, rows(), tmp_path / "two")
    names = ("evidence", "season", "inputs", "delays", "references", "rollout", "missed")
    assert [file.stem for file in first] == list(names)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    assert all(file.stat().st_size < 150_000 for file in first)


def test_what_the_report_lacks_is_not_drawn(tmp_path: Path) -> None:
    drawn = _plots.drawn(1, rows()[:4], tmp_path)
    assert {file.stem for file in drawn} == {"evidence", "season", "inputs", "rollout", "missed"}
