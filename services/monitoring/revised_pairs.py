"""What a rollout's pairs would say by the labels of now: sums of evidence without the order of the outcomes.

The log wealth of each bet is a sum over the pairs, and so is every other figure but the running maxima. So a corrected
label takes its pair's part out and puts the new one in, in a few numbers, however many pairs there are and however late
it comes. What is lost is the way: the revised e-value is that at the verdict, not the largest up to it. Both are
evidence of the same kind (a test martingale at a time that was fixed by the labels known then; Ville 1939).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from services.monitoring import canary_judge
from services.monitoring.canary_judge import JudgeState, Limits
from services.monitoring.outcome_losses import Judged
from shared.contracts.control import VerdictKind

REMEMBERED = 20
# Sums of corrections are off by rounding; a mean difference below this is none.
_ROUNDING = 1e-9
_NOTHING = JudgeState()
# Labels that are none any more must not turn a verdict, however few they are.
_LIMITS = Limits(any_grace=0)
_ADDED = (
    "count", "total", "total_squares", "champion_total", "candidate_total", "champion_invalid", "candidate_invalid",
    "both_invalid",
)  # fmt: skip


class Corrections(NamedTuple):
    """What corrected labels add to the pairs: how many, the newest by record; `pairs` holds sums alone."""

    revisions: int = 0
    records: tuple[str, ...] = ()
    pairs: JudgeState = _NOTHING

    def to_json(self) -> dict[str, Any]:
        return {"revisions": self.revisions, "records": list(self.records), "pairs": self.pairs.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Corrections:
        """The state that `to_json` wrote."""
        return cls(data["revisions"], tuple(data["records"]), JudgeState.from_json(data["pairs"]))


def corrected(state: Corrections, champion: int, candidate: int, before: Judged, after: Judged) -> Corrections:
    """With one more corrected label of an outcome of the rollout: the same outcome by the old label and by the new."""
    old, new = _pair(before, champion, candidate), _pair(after, champion, candidate)
    if old == new:
        return state
    records = (*(record for record in state.records if record != after.record_id), after.record_id)[-REMEMBERED:]
    return Corrections(state.revisions + 1, records, _sum(_sum(state.pairs, old, -1), new, 1))


def applied(pairs: JudgeState, corrections: Corrections) -> JudgeState:
    """The pairs with their corrections; its maxima are the evidence as it is."""
    found = _sum(pairs, corrections.pairs, 1)
    promote, harm = canary_judge.log_evidence(found)
    return replace(found, log_e_max=promote, log_e_harm_max=harm)


def says(pairs: JudgeState, alpha: float, said: VerdictKind) -> VerdictKind:
    """What corrected pairs say, after they said `said`: docs/decisions/0016.

    Better or Worse where the evidence reaches 1 / alpha. Otherwise a verdict stands as long as the mean difference is
    on its side, and where too many pairs have no losses any more, which says nothing; else it is Undecided, and stays
    so until the evidence for the one or the other is there again.
    """
    needed = -math.log(alpha)
    if pairs.log_e_harm_max >= needed:
        return VerdictKind.WORSE
    if not pairs.count or canary_judge.too_many_invalid(pairs, _LIMITS):
        return said
    if pairs.log_e_max >= needed:
        return VerdictKind.BETTER
    least = _ROUNDING * max(1, pairs.count)
    stands = (said is VerdictKind.BETTER and pairs.total < -least) or (
        said is VerdictKind.WORSE and pairs.total > least
    )
    return said if stands else VerdictKind.UNDECIDED


def _pair(outcome: Judged, champion: int, candidate: int) -> JudgeState:
    """What one outcome adds; nothing where it is unlabelled or one of the versions said nothing."""
    losses = outcome.losses
    if not outcome.labelled or champion not in losses or candidate not in losses:
        return _NOTHING
    return canary_judge.update(_NOTHING, losses[champion], losses[candidate])


def _sum(state: JudgeState, other: JudgeState, sign: int) -> JudgeState:
    added: dict[str, Any] = {name: getattr(state, name) + sign * getattr(other, name) for name in _ADDED}
    return replace(
        state,
        promote=tuple(log + sign * more for log, more in zip(state.promote, other.promote, strict=True)),
        harm=tuple(log + sign * more for log, more in zip(state.harm, other.harm, strict=True)),
        **added,
    )
