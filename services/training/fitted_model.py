"""A fitted model as scikit-learn computes it: the original that its artifact is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.training.averaging import all_classes, mean_outputs
from services.training.category_encoding import CategoryEncoding
from services.training.dataset import Kind, Task
from services.training.families import Estimator, Family, Parameters


@dataclass(frozen=True)
class FittedEstimator:
    """Category encoding and estimator, fitted to the same rows. `classes` are the class names (multiclass only)."""

    task: Task
    encoding: CategoryEncoding
    estimator: Estimator
    classes: tuple[str, ...]

    def predict(self, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
        """Outputs [n, 1] (probability of class 1, or the value) or [n, K] (probabilities in the order of `classes`)."""
        features = self.encoding.features(numbers, categories)
        if self.task == "regression":
            return np.asarray(self.estimator.predict(features), dtype=np.float64).reshape(-1, 1)
        probabilities = np.asarray(self.estimator.predict_proba(features), dtype=np.float64)
        return probabilities[:, 1:] if self.task == "binary" else probabilities


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of parameters that was tried, and its mean loss on the validation rows."""

    family: Family
    parameters: Parameters
    loss: float


@dataclass(frozen=True)
class FittedModel:
    """The chosen model, refitted, with everything that its manifest says. `reference`, `loss`, `calibration` and
    `expected_loss` are JSON-able. `trial`: the chosen one before the refit, which has seen `trial_rows` rows only.

    `fitted_to`: the position behind the newest outcome that it was fitted on, where that is known. Of `family`
    "average" it is the mean of `fitted` and those `beside` it by `weights`, in the order of `members` and 1 together;
    `parameters` list the members.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    fitted: FittedEstimator
    family: Family | Literal["average"]
    parameters: Parameters
    seed: int
    dataset_sha256: str
    rows: int
    fitted_rows: int
    trials: tuple[Trial, ...]
    reference: dict[str, Any]
    loss: dict[str, Any]
    trial: FittedEstimator
    trial_rows: int
    calibration: dict[str, Any] | None = None
    expected_loss: dict[str, Any] | None = None
    beside: tuple[FittedEstimator, ...] = ()
    weights: tuple[float, ...] = (1.0,)
    fitted_to: int | None = None

    @property
    def members(self) -> tuple[FittedEstimator, ...]:
        return (self.fitted, *self.beside)

    @property
    def task(self) -> Task:
        return self.fitted.task

    @property
    def classes(self) -> tuple[str, ...]:
        return all_classes([member.classes for member in self.members])

    def predict(self, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
        """Outputs [n, 1] or [n, K], as FittedEstimator.predict."""
        outputs = [member.predict(numbers, categories) for member in self.members]
        return np.asarray(
            mean_outputs(outputs, [member.classes for member in self.members], self.weights), dtype=np.float64
        )
