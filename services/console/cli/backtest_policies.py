"""What the options of `headrace backtest policy` mean: settings as a definition has them, on top of those in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from pydantic import ValidationError

from shared.contracts.contract import Contract
from shared.contracts.definitions import Policy, Retrain, Rollout
from shared.runtime.validation_messages import validation_problems
from shared.runtime.yaml_nodes import YamlProblem, documents

NO_ROLLOUT = "none"
# `every` may take its rows from the definition in force, which is not known here.
_SOME_ROWS = 50


def retrain_settings(texts: Sequence[str]) -> list[dict[str, Any]]:
    """`evidence,cost=30`: the policy, then fields. Raises typer.BadParameter for what a definition may not say."""
    return [_retrain(text) for text in texts] or [{}]


def rollout_settings(texts: Sequence[str]) -> list[dict[str, Any]]:
    """`steps=5/25/100,alpha=0.05`: fields, or `none`. Raises typer.BadParameter for what a definition may not say."""
    return [_rollout(text) for text in texts] or [{}]


def _retrain(text: str) -> dict[str, Any]:
    policy, comma, more = text.partition(",")
    if policy not in list(Policy):
        raise typer.BadParameter(
            f"{text!r}: expected {', '.join(Policy)} first, then fields: evidence,cost=30", param_hint="--retrain"
        )
    says = {"policy": policy, **(_fields(text, more, "--retrain") if comma else {})}
    rows = {"rows": _SOME_ROWS} if policy == Policy.EVERY else {}
    _check(Retrain, {**rows, **says}, text, "--retrain")
    return {"name": text, "says": says}


def _rollout(text: str) -> dict[str, Any]:
    if text == NO_ROLLOUT:
        return {"name": text, "says": None}
    says = _fields(text, text, "--rollout")
    if isinstance(steps := says.get("steps"), str | int):
        says["steps"] = [_value(step) for step in str(steps).split("/")]
    _check(Rollout, says, text, "--rollout")
    return {"name": text, "says": says}


def _fields(text: str, fields: str, option: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields.split(","):
        name, equals, value = field.partition("=")
        if not equals or name in found:
            said = "stands there twice" if name in found else "has no value"
            raise typer.BadParameter(f"{text!r}: {name!r} {said}; expected NAME=VALUE,..", param_hint=option)
        try:
            found[name] = _value(value)
        except YamlProblem as problem:
            raise typer.BadParameter(f"{text!r}: {name}: {problem}", param_hint=option) from None
    return found


def _value(text: str) -> Any:
    """As in a definition, where it would stand behind a colon."""
    return next((document.value for document in documents(text)), None)


def _check(contract: type[Contract], says: Mapping[str, Any], text: str, option: str) -> None:
    try:
        contract.written(dict(says))
    except ValidationError as error:
        problems = validation_problems("", "", contract, says, error)
        said = "; ".join(": ".join(filter(None, (problem.where, problem.message))) for problem in problems)
        raise typer.BadParameter(f"{text!r}: {said}", param_hint=option) from None
