"""Which of several models may be the best, as far as the rows that judged them tell.

After the model confidence set (Hansen, Lunde and Nason 2011), in one step: a model stays unless it is clearly worse
than the one with the lowest mean loss. On few rows that lowest one is a noisy choice; the mean of all that stay varies
less, and where one is clearly the best, it stays alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.training.block_error import block_error
from services.training.evaluation import Losses

STANDARD_ERRORS = 2.0
# Each costs its time in every answer.
MOST_MEMBERS = 8


class NothingFinite(ValueError):
    """No model answered every row that judges with a finite value."""

    def __init__(self, models: int, rows: int) -> None:
        super().__init__(
            f"none of {models} fitted models answers all of the {rows} newest rows with finite values, so none can be "
            "chosen. Look for inputs or labels of extreme size, or leave the family out of `training.search`."
        )


def confidence_set(losses: Sequence[Losses]) -> list[int]:
    """Places of the models that stay, the best first, at most MOST_MEMBERS; `losses`: of each model [n], paired rows in
    time order.

    One stays if its mean difference to the best is at most STANDARD_ERRORS standard errors, taken over blocks; where
    there are too few blocks for that, the best alone. Raises NothingFinite.
    """
    finite = [place for place, of_one in enumerate(losses) if len(of_one) and np.isfinite(of_one).all()]
    if not finite:
        raise NothingFinite(len(losses), max(map(len, losses), default=0))
    means = {place: float(losses[place].mean()) for place in finite}
    order = sorted(finite, key=means.__getitem__)
    best = losses[order[0]]
    return [order[0], *(place for place in order[1:] if _may_be_as_good(losses[place] - best))][:MOST_MEMBERS]


def _may_be_as_good(worse_by: Losses) -> bool:
    error = block_error(worse_by)
    return error is not None and float(worse_by.mean()) <= STANDARD_ERRORS * error.standard_error
