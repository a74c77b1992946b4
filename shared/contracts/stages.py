"""The way of a source's records through features: its own log, then one log for each other entity of its views.

In its own log a record stands by its key, in each of the others by a field that a view names as its entity. The other
entities follow in the order in which their first views were declared: a new definition adds to the end of the way, and
changes nothing before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.topics import ENTITY, RECORDS, Topic


@dataclass(frozen=True, slots=True)
class Stage:
    """One log of the way. `entity`: the field by which records stand in it; `views`: those by that field.

    `models` know all their views here, and not before; `ahead`: those that need a later stage.
    """

    subject: str
    topic: Topic
    source: Source
    entity: str
    views: tuple[FeatureView, ...]
    models: tuple[Model, ...]
    ahead: tuple[Model, ...]
    next: Stage | None


def stages_of(source: Source, views: Iterable[FeatureView], models: Iterable[Model]) -> tuple[Stage, ...]:
    """The stages of a source's records, its own log first. `views`: those over it; `models`: those that score it."""
    by_entity: dict[str, list[FeatureView]] = {source.key: []}
    for view in views:
        by_entity.setdefault(view.entity, []).append(view)
    place_of = {view.name: place for place, held in enumerate(by_entity.values()) for view in held}
    last = [(model, max((place_of.get(view, 0) for view in model.inputs.views), default=0)) for model in models]
    following: Stage | None = None
    found: list[Stage] = []
    for place, (entity, held) in reversed(list(enumerate(by_entity.items()))):
        subject = source.name if place == 0 else entity_subject(source.name, entity)
        following = Stage(
            subject=subject,
            topic=(RECORDS if place == 0 else ENTITY).of(subject),
            source=source,
            entity=entity,
            views=tuple(held),
            models=tuple(model for model, at in last if at == place),
            ahead=tuple(model for model, at in last if at > place),
            next=following,
        )
        found.append(following)
    return tuple(reversed(found))


def entity_subject(source: str, field: str) -> str:
    """What the log of a source's records by `field` is named for: the two with `-` between, which no source has.

    Of the field, whatever may not stand in a topic's name becomes its UTF-8 bytes, each as `-` and two digits. A dot
    between would not do: for Kafka `a.b_c` and `a_b.c` are the same name.
    """
    safe = re.sub(r"[^A-Za-z0-9_]", lambda found: "".join(f"-{byte:02x}" for byte in found[0].encode()), field)
    return f"{source}-{safe}"
