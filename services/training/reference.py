"""What monitors compare with, computed on rows held back from the fit; it travels in the artifact's manifest."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from services.training.dataset import Dataset
from services.training.evaluation import Loss, Losses
from shared.runtime.onnx_model import MISSING_CATEGORY

QUANTILE_KNOTS = 257
LARGEST_CATEGORY_LIST = 100
LOSS_BLOCKS = 20
# 95 % quantile of Student's t with LOSS_BLOCKS - 1 degrees of freedom.
T_95 = 1.729


def reference_inputs(held_back: Dataset) -> dict[str, Any]:
    """Each input's distribution over the held-back rows: {"numbers": {name: ...}, "categories": {name: ...}}.

    Number: `quantiles`, QUANTILE_KNOTS sorted values at evenly spaced levels from 0 to 1, and `missing`, the share of
    rows without one; an input that all of the rows lack is left out, for it has no distribution. Category:
    `frequencies`, the shares of the LARGEST_CATEGORY_LIST most frequent, `other`, that of all others, and `missing`.
    """
    numbers = {name: held_back.numbers[:, i] for i, name in enumerate(held_back.number_names)}
    categories = {name: held_back.categories[:, i] for i, name in enumerate(held_back.category_names)}
    return {
        "numbers": {name: _number(values) for name, values in numbers.items() if not np.isnan(values).all()},
        "categories": {name: _category(values.tolist()) for name, values in categories.items()},
    }


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
    return {"quantiles": [rounded(knot) for knot in knots], "missing": rounded(1.0 - len(present) / len(values))}


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
    }


def _mean_and_upper(losses: Losses) -> tuple[float, float]:
    mean = float(losses.mean())
    if len(losses) < LOSS_BLOCKS:
        raise ValueError(f"{len(losses)} held-back rows are too few for an upper bound; it takes {LOSS_BLOCKS}.")
    blocks = np.array([block.mean() for block in np.array_split(losses, LOSS_BLOCKS)])
    return rounded(mean), rounded(mean + T_95 * float(blocks.std(ddof=1)) / math.sqrt(LOSS_BLOCKS))
