"""How much each of several models counts in their mean, as far as the rows that judged them tell.

The weight of a model is exp(-z^2 / 8), where z is how many standard errors its mean loss lies above that of the best
one. That weights fall off with the distance from the best is the idea of model averaging (Buckland, Burnham and
Augustin 1997, with weights of information criteria); form and width are ours, chosen on two files (decision 0017). The
width is two standard errors, for the rows to come differ from those that judge by more than chance. On few rows the
lowest loss is a noisy choice, and the mean of all that may be as good varies less; one that is clearly the best stays
almost alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from services.training.block_error import block_error
from services.training.evaluation import Losses

# Weights are those of a normal density with so many standard errors as its deviation.
DEVIATION = 2.0
# Each costs its time in every answer: what counts less than this share of the best is left out.
LEAST_SHARE = 0.05
MOST_MEMBERS = 8


class NothingFinite(ValueError):
    """No model answered every row that judges with a finite value."""

    def __init__(self, models: int, rows: int) -> None:
        super().__init__(
            f"none of {models} fitted models answers all of the {rows} newest rows with finite values, so none can be "
            "chosen. Look for inputs or labels of extreme size, or leave the family out of `training.search`."
        )


def member_weights(losses: Sequence[Losses]) -> dict[int, float]:
    """By place the weight of each model that stays, the best first, at most MOST_MEMBERS; they add up to 1.

    `losses`: of each model [n], paired rows in time order. Standard errors are taken over blocks; where there are too
    few of them, the best is alone. Raises NothingFinite.
    """
    finite = [place for place, of_one in enumerate(losses) if len(of_one) and np.isfinite(of_one).all()]
    if not finite:
        raise NothingFinite(len(losses), max(map(len, losses), default=0))
    means = {place: float(losses[place].mean()) for place in finite}
    order = sorted(finite, key=means.__getitem__)
    best = losses[order[0]]
    shares = {order[0]: 1.0} | {place: _share(losses[place] - best) for place in order[1:]}
    stay = {place: share for place, share in shares.items() if share >= LEAST_SHARE}
    kept = dict(sorted(stay.items(), key=lambda entry: -entry[1])[:MOST_MEMBERS])
    return {place: share / sum(kept.values()) for place, share in kept.items()}


def _share(worse_by: Losses) -> float:
    error, mean = block_error(worse_by), float(worse_by.mean())
    if error is None:
        return 0.0
    if error.standard_error == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return math.exp(-0.5 * (mean / error.standard_error / DEVIATION) ** 2)
