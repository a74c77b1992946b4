"""Streamed scoring: each record with its inputs becomes a prediction, once every version in play is loaded."""

from __future__ import annotations

from services.serving.loaded_models import LoadedModels, artifacts_in_play
from services.serving.prediction import Loaded, Question, predict
from services.serving.split import split_of, subject_of
from shared.contracts.envelope import Message
from shared.contracts.flow import InputsComputed
from shared.contracts.topics import PREDICTIONS
from shared.runtime.step import Context, Publish, Step, Wait


def score_step(models: LoadedModels) -> Step:
    """The step over these models. It keeps no state: a model is a function of its artifact."""

    def ready(message: Message, context: Context) -> Wait | None:
        event = message.event
        if not isinstance(event, InputsComputed):
            return None
        artifacts = artifacts_in_play(context.platform.model(event.model))
        missing = [number for number, artifact in artifacts.items() if artifact.sha256 not in models]
        if not missing:
            models.release(context.task.id)
            return None
        models.demand(context.task.id, artifacts.values())
        return Wait(
            f"{context.task.id} waits until versions {', '.join(map(str, missing))} of {event.model} are loaded"
        )

    def on_inputs(state: None, message: Message, context: Context) -> tuple[None, list[Publish]]:
        event = message.event
        assert isinstance(event, InputsComputed)
        model, platform = context.platform.model(event.model), context.platform
        versions = {
            number: Loaded(artifact.sha256, models[artifact.sha256])
            for number, artifact in artifacts_in_play(model).items()
        }
        question = Question(event.model, event.entity, event.record_id, event.inputs, "stream")
        subject = subject_of(platform.definitions.models[event.model], event.entity, event.record_id)
        made = predict(question, platform.position, split_of(model, subject), versions)
        return None, [Publish(PREDICTIONS.of(event.model), message.key, made, message.time_ms)]

    return Step("score", None, {InputsComputed: on_inputs}, ready=ready)
