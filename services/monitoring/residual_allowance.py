"""What a monitor of residuals allows for the errors of the expected loss.

A residual's mean is 0 where the expected loss is right. It is fitted on a few thousand rows, so that a part of a season
stays in the residuals: less than the bound of their mean, over all of it, but more than that in places. A monitor that
restarts often enough meets them. So the monitor of residuals works, its bound and its threshold, at ALLOWANCE times the
run length that is asked for. The guarantee of `loss_monitor` is kept by any larger threshold; that the allowance is
enough is no theorem, but shown by `tests/benchmarks/decisions.py` on a season of +-3 points in losses of mean 0.1, of
which a fit on 5,000 rows leaves about half. Few of the fits are behind most of the alarms.
"""

from __future__ import annotations

# Tried from 1 to 2: with 1 there were two false alarms a run length, with 2 one, and a rise by 10 points in losses of
# mean 0.1 was found a tenth later.
ALLOWANCE = 1.75


def run_length(expected_run_length: float) -> float:
    """What `reference_loss.start` and `loss_monitor.start` are to be given for residuals, in outcomes."""
    return ALLOWANCE * expected_run_length
