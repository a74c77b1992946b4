"""How good the answers were that went out: before the drift, from the drift to the promotion, and after it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from shared.contracts.envelope import Message
from shared.contracts.flow import LabelStatus, OutcomeMatured

BEFORE, BETWEEN, AFTER = "before_drift", "drift_to_promotion", "after_promotion"


@dataclass(slots=True)
class Figures:
    """Sums over answers with a label."""

    answers: int = 0
    loss: float = 0.0
    right: int = 0

    def add(self, probability: float, label: float, clip: float) -> None:
        """One answer: the probability of fraud, and whether it was."""
        of_truth = probability if label else 1.0 - probability
        self.answers += 1
        self.loss -= math.log(min(1.0 - clip, max(clip, of_truth)))
        self.right += (probability >= 0.5) == bool(label)

    @property
    def log_loss(self) -> float | None:
        """Mean, in nats."""
        return self.loss / self.answers if self.answers else None

    @property
    def accuracy(self) -> float | None:
        return self.right / self.answers if self.answers else None

    def shown(self) -> dict[str, float | int | None]:
        return {"answers": self.answers, "log_loss": self.log_loss, "accuracy": self.accuracy}


@dataclass(slots=True)
class Quality:
    """Folds `outcomes.<model>`. `drift_at`: ids of the transactions from the drift on; `first`: who answered first."""

    clip: float
    drifted: frozenset[str] = frozenset()
    first: int | None = None
    scored: int = 0
    matured: int = 0
    by_phase: dict[str, Figures] = field(
        default_factory=lambda: {phase: Figures() for phase in (BEFORE, BETWEEN, AFTER)}
    )

    def take(self, _position: int, message: Message) -> None:
        """One event of the outcomes."""
        event = message.event
        if not isinstance(event, OutcomeMatured):
            self.scored += 1
            return
        self.matured += 1
        prediction = event.prediction
        answered = prediction.answered_by
        if answered is None or event.status is not LabelStatus.LABELLED or not isinstance(event.label, float | int):
            return
        if self.first is None:
            self.first = answered
        phase = self._phase(prediction.champion, str(prediction.record_id))
        self.by_phase[phase].add(prediction.outputs[answered].output[0], float(event.label), self.clip)

    def _phase(self, champion: int | None, record_id: str) -> str:
        if champion != self.first:
            return AFTER
        return BETWEEN if record_id in self.drifted else BEFORE
