"""What the options of `headrace backtest drift` mean: one configuration for each detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from shared.contracts.detectors import PARAMETERS, Detector, complete


def configurations(
    detectors: Sequence[Detector] | None, parameters: Sequence[str], otherwise: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What each configuration says otherwise than the definition in force. Raises typer.BadParameter.

    A parameter goes to every detector asked for that has it, or to the one that is named in front of it.
    """
    if not detectors:
        if parameters:
            raise typer.BadParameter("say of which --detector", param_hint="--parameters")
        return [dict(otherwise)]
    given: dict[Detector, dict[str, int | float]] = {detector: {} for detector in detectors}
    for text in parameters:
        name, equals, number = text.partition("=")
        owner, dot, short = name.rpartition(".")
        owners = [d for d in given if (d == owner if dot else short in PARAMETERS[d])]
        if not equals or not owners:
            raise typer.BadParameter(f"{text!r}: {_known(given)}", param_hint="--parameters")
        for detector in owners:
            given[detector][short] = _number(text, number)
    for detector, own in given.items():
        try:
            complete(detector, own)
        except ValueError as error:
            raise typer.BadParameter(
                str(error).removeprefix("detector_parameters: "), param_hint="--parameters"
            ) from None
    return [
        {**otherwise, "detector": d.value, **({"detector_parameters": own} if own else {})} for d, own in given.items()
    ]


def _number(text: str, number: str) -> int | float:
    try:
        return int(number)
    except ValueError:
        pass
    try:
        return float(number)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: {number!r} is no number", param_hint="--parameters") from None


def _known(detectors: Mapping[Detector, Any]) -> str:
    known = [f"{d} has {', '.join(PARAMETERS[d]) or 'none (it has options of its own)'}" for d in detectors]
    return f"expected NAME=NUMBER; {'; '.join(known)}"
