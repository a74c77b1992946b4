"""What monitors compare with; it travels in the artifact's manifest.

Losses are those of rows that were held back from the fit. A fit does not change the inputs, so these are of the newest
rows, whether it saw them or not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.training.dataset import Dataset
from services.training.evaluation import Loss, Losses
from shared.contracts.autocorrelation import autocorrelation_time, of_values
from shared.runtime.onnx_model import MISSING_CATEGORY

QUANTILE_KNOTS = 257
LARGEST_CATEGORY_LIST = 100
LOSS_BLOCKS = 20
REFERENCE_ROWS = 5_000
# 95 % quantile of Student's t with LOSS_BLOCKS - 1 degrees of freedom.
T_95 = 1.729


def reference_inputs(rows: Dataset, views: Sequence[str] = ()) -> dict[str, Any]:
    """Each input's distribution over these rows, in time order: {"rows": n, "numbers": {name: ...}, "categories": ...}.

    Number: `quantiles`, QUANTILE_KNOTS sorted values at evenly spaced levels from 0 to 1, and `missing`, the share of
    rows without one; an input that all of the rows lack is left out, for it has no distribution. Category:
    `frequencies`, the shares of the LARGEST_CATEGORY_LIST most frequent, `other`, that of all others, and `missing`.
    `time`, of an input whose values hang together from row to row: the integrated autocorrelation time, in rows.
    `views`, of each of these: its `inputs` (`view.feature`), and `empty`, the share of rows in which all of them are
    missing or 0: records of an entity that the view does not know, or no longer.
    """
    numbers = {name: rows.numbers[:, i] for i, name in enumerate(rows.number_names)}
    categories = {name: rows.categories[:, i] for i, name in enumerate(rows.category_names)}
    figures: dict[str, Any] = {
        "rows": len(rows),
        "numbers": {name: _number(values) for name, values in numbers.items() if not np.isnan(values).all()},
        "categories": {name: _category(values.tolist()) for name, values in categories.items()},
    }
    nothing = {name: np.isnan(values) | (values == 0.0) for name, values in numbers.items()}
    nothing |= {name: values == MISSING_CATEGORY for name, values in categories.items()}
    read = {view: [name for name in rows.names if name.startswith(f"{view}.")] for view in views}
    of_views = {view: _view(names, [nothing[name] for name in names]) for view, names in read.items() if names}
    return figures | {"views": of_views} if of_views else figures


def reference_loss(losses: Losses, loss: Loss) -> dict[str, Any]:
    """Mean of the held-back losses [n] and its upper 95 % bound, in the metric's unit and, where the definition's
    constants bound it, in [0, 1]. The rows must be in time order: the bound is taken over LOSS_BLOCKS consecutive
    blocks, because losses of neighbouring rows are not independent (batch means, Law and Carson 1979)."""
    mean, upper = _mean_and_upper(losses)
    figures: dict[str, Any] = {
        "metric": loss.metric,
        "clip": loss.clip,
        "scale": loss.scale,
        "rows": len(losses),
        "mean": mean,
        "upper": upper,
    }
    if loss.scale is not None or loss.metric not in ("absolute_error", "squared_error"):
        figures["bounded_mean"], figures["bounded_upper"] = _mean_and_upper(loss.bounded(losses))
    return figures


def rounded(value: float) -> float:
    """Nine significant digits: every float32 keeps its value, and the manifest's bytes do not hang on the last bit."""
    return float(f"{value:.9g}")


def _number(values: npt.NDArray[np.float32]) -> dict[str, Any]:
    present = values[~np.isnan(values)].astype(np.float64)
    levels = np.linspace(0.0, 1.0, QUANTILE_KNOTS)
    knots = np.quantile(present, levels).tolist()
    place = np.searchsorted(np.sort(present), present) / len(present)
    absent = np.isnan(values).astype(np.float64)
    return {
        "quantiles": [rounded(knot) for knot in knots],
        "missing": rounded(1.0 - len(present) / len(values)),
        **_time(place, np.abs(2.0 * place - 1.0), absent),
    }


def _category(values: list[str]) -> dict[str, Any]:
    counts = Counter(values)
    missing = counts.pop(MISSING_CATEGORY, 0)
    # Equal counts in the order of their names, so that the bytes do not hang on the order of the rows.
    listed = dict(Counter(dict(sorted(counts.items()))).most_common(LARGEST_CATEGORY_LIST))
    other = len(values) - missing - sum(listed.values())
    return {
        "frequencies": {name: rounded(count / len(values)) for name, count in listed.items()},
        "other": rounded(other / len(values)),
        "missing": rounded(missing / len(values)),
        **_time(*(np.array([value == name for value in values], dtype=np.float64) for name in list(listed)[:3])),
    }


def _view(names: list[str], nothing: list[npt.NDArray[np.bool_]]) -> dict[str, Any]:
    empty = np.logical_and.reduce(nothing).astype(np.float64)
    return {"inputs": names, "empty": rounded(float(empty.mean())), **_time(empty)}


def _time(*series: npt.NDArray[np.float64]) -> dict[str, float]:
    """The longest of what is told of one input [n] each, if any of it hangs together."""
    times = [autocorrelation_time(of_values(values.tolist())) for values in series]
    longest = max(times, default=1.0)
    return {"time": rounded(longest)} if longest > 1.0 else {}


def _mean_and_upper(losses: Losses) -> tuple[float, float]:
    mean = float(losses.mean())
    if len(losses) < LOSS_BLOCKS:
        raise ValueError(f"{len(losses)} held-back rows are too few for an upper bound; it takes {LOSS_BLOCKS}.")
    blocks = np.array([block.mean() for block in np.array_split(losses, LOSS_BLOCKS)])
    return rounded(mean), rounded(mean + T_95 * float(blocks.std(ddof=1)) / math.sqrt(LOSS_BLOCKS))
