"""Whether a replay fits the sources that it fills and the models that wait for its labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.contracts.definition_problem import Problem, did_you_mean
from shared.contracts.definitions import Clock, Replay, ReplayLabels
from shared.contracts.durations import format_duration
from shared.contracts.expressions import ExpressionError, parse
from shared.contracts.source_fields import SourceLookup, known_fields, required_fields
from shared.contracts.topology import Definitions


def replay_problems(
    replay: Replay, definitions: Definitions, unread: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    """Every problem of a replay among these definitions. `unread`: names whose definitions could not be read.

    A delay in records is not compared with `matures_after` here: how long it is depends on the file.
    """
    lookup = SourceLookup(definitions.sources, unread)
    yield from _expressions(replay, {"": replay.time}, "time")
    yield from _expressions(replay, replay.fields, "fields")
    yield from _source_problems(replay, replay.source, replay.fields, lookup, "")
    if replay.labels is not None:
        yield from _label_problems(replay, replay.labels, definitions, lookup)


def _problem(replay: Replay, message: str, *path: str | int) -> Problem:
    return Problem("Replay", replay.name, path, message)


def _expressions(replay: Replay, expressions: Mapping[str, str], *path: str) -> Iterator[Problem]:
    for name, text in expressions.items():
        try:
            parse(text)
        except ExpressionError as error:
            yield _problem(replay, str(error), *path, *([name] if name else []))


def _source_problems(
    replay: Replay, name: str, fields: Mapping[str, str], lookup: SourceLookup, under: str
) -> Iterator[Problem]:
    prefix = (under,) if under else ()
    source = lookup.get(name)
    if source is None:
        if message := lookup.unknown(name):
            yield _problem(replay, message, *prefix, "source")
        return
    if source.time.clock is not Clock.EVENTS:
        message = f"source {name} keeps the wall clock, and a replay brings its own: give it `time: {{clock: events}}`"
        yield _problem(replay, message, *prefix, "source")
    known = known_fields(source)
    for field in fields:
        if field not in known:
            message = f"source {name} has no field {field!r}; {did_you_mean(field, known)}"
            yield _problem(replay, message, *prefix, "fields", field)
        elif field == source.time.field:
            instead = "the time at which a label is due comes from hold_back" if under else "say it as `time`"
            yield _problem(replay, f"{field} is the event time: {instead}", *prefix, "fields", field)


def _label_problems(
    replay: Replay, labels: ReplayLabels, definitions: Definitions, lookup: SourceLookup
) -> Iterator[Problem]:
    yield from _expressions(replay, labels.fields, "labels", "fields")
    yield from _source_problems(replay, labels.source, labels.fields, lookup, "labels")
    source = lookup.get(labels.source)
    if source is None:
        return
    models = [m for m in definitions.models_labelled_by(source.name) if m.scores == replay.source]
    needed = required_fields(source) | {name for m in models for name in (m.label.field, m.label.joins)}
    for name in sorted(needed & set(known_fields(source)) - {source.time.field} - set(labels.fields)):
        message = f"{name} is missing, and every label of source {source.name} needs it: say which column it is"
        yield _problem(replay, message, "labels", "fields")
    if labels.source == replay.source:
        yield _problem(replay, "the labels need a source of their own", "labels", "source")
    held_ms = labels.hold_back.duration
    for model in models:
        if held_ms is not None and held_ms > model.label.matures_after:
            message = (
                f"labels held back by {format_duration(held_ms)} come after model {model.name} has taken them for "
                f"missing (matures_after {format_duration(model.label.matures_after)}): hold back less, or wait longer"
            )
            yield _problem(replay, message, "labels", "hold_back", "duration")
    if not models and not lookup.unread:
        message = f"no model scores {replay.source} and takes its labels from {source.name}"
        yield _problem(replay, message, "labels", "source")
