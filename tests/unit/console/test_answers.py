"""Which event of the log is the answer to a command."""

from __future__ import annotations

import pytest

from services.console.commands import answers_command
from shared.contracts import control as c
from shared.contracts.envelope import Event
from tests import builders as b

AT = 7
BACK = c.RollBackModel(request_id="q", model=b.MODEL, by="ann")
REFUSED = c.CommandRefused(request_id="q", model=b.MODEL, reason="no version before it")


@pytest.mark.parametrize(
    ("event", "control", "answers"),
    [
        (b.rollout_ended(), AT, True),
        (b.rollout_ended(), AT - 1, False),  # it ended by itself, and the registry had not read the command yet
        (b.rollout_ended(model="another"), AT, False),
        (REFUSED, AT, True),
        (REFUSED.model_copy(update={"request_id": "another"}), AT, False),
        (b.rolled_back(), AT + 3, True),  # once serving has the version
        (b.promoted(2), AT, False),
    ],
)
def test_what_answers_a_roll_back(event: Event, control: int, answers: bool) -> None:
    message = b.message(event, control=control)
    assert answers_command(BACK, AT)(message) == answers
