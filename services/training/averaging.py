"""The weighted mean of several models' outputs: what it is over classes that not all of them know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.training.evaluation import Outputs


def all_classes(of_members: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The classes that any of them knows, by name; () where there are none."""
    return tuple(sorted({name for classes in of_members for name in classes}))


def placement(own: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Zeros and ones [own, classes]: outputs @ placement has each class in its column, 0 for one that a model lacks."""
    placed = np.zeros((len(own), len(classes)), dtype=np.float32)
    placed[np.arange(len(own)), [list(classes).index(name) for name in own]] = 1.0
    return placed


def mean_outputs(
    outputs: Sequence[Outputs], of_members: Sequence[tuple[str, ...]], weights: Sequence[float]
) -> Outputs:
    """The mean [n, K] of outputs, each [n, its classes], over the classes that any member knows; [n, 1] without. The
    weights add up to 1."""
    classes = all_classes(of_members)
    placed = [
        given if own == classes else given @ placement(own, classes).astype(np.float64)
        for given, own in zip(outputs, of_members, strict=True)
    ]
    return placed[0] if len(placed) == 1 else np.average(np.stack(placed), axis=0, weights=weights)
