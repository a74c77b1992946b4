"""Definitions that do not fit together: each is refused where it stands, with what to do."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from shared.contracts.definition_checks import problems, refusals
from shared.contracts.definitions import FeatureView, Model, Replay, Source
from shared.contracts.replay_checks import replay_problems
from shared.contracts.topology import NO_DEFINITIONS
from tests import builders as b

LABEL = b.model().label.model_dump(mode="json")
TIME = {"field": "at", "clock": "events"}
FIELDS = {"card_id": "string", "amount": "number", "category": "string"}


def views(**feature: object) -> FeatureView:
    return b.view(features={"f": feature})


def inputs(**over: object) -> Model:
    return b.model(inputs={"fields": ["amount"], "views": [b.VIEW], **over})


def labelled(**over: object) -> Model:
    return b.model(label={**LABEL, **over})


def trained(*families: str, **over: object) -> Model:
    return b.model(training={"search": {"families": families}}, **over)


@pytest.mark.parametrize(
    ("definition", "where", "said"),
    [
        (b.source(name="wall"), "name", "names the wall clock"),
        (b.source(name="rejected"), "name", r"records\.rejected\.v1 of its own"),
        (b.source(name="other", topic="control.v1"), "topic", "one of the platform's own"),
        (b.source(name="other", topic="records.other.v1"), "topic", "one of the platform's own"),
        (b.source(name="other", topic=b.SOURCE), "topic", "already that of source transactions: one topic has one"),
        (b.source(key=""), "key", "empty"),
        (b.source(key="at"), "time.field", "field at cannot be both key and time"),
        (b.source(key="amount"), "key", "amount is a number; string or integer is expected"),
        (b.source(fields={**FIELDS, "card_id": {"type": "string", "optional": True}}), "key", "drop `optional`"),
        (b.source(fields={**FIELDS, "at": "boolean"}), "time.field", "string, integer or number is expected"),
        (b.source(fields={**FIELDS, "a.b": "number"}), "fields.a.b", "has no dot"),
        (b.source(fields={**FIELDS, "n": {"type": "number", "enum": ["a"]}}), "fields.n.enum", "belongs to a string"),
        (b.source(fields={**FIELDS, "s": {"type": "string", "minimum": 1}}), "fields.s.minimum", "belongs to a number"),
        (
            b.source(fields={**FIELDS, "n": {"type": "number", "minimum": 2, "maximum": 1}}),
            "fields.n.minimum",
            "minimum 2 is above maximum 1",
        ),
        (b.view(name="dead"), "name", r"features\.dead\.v1 of its own"),
        (b.view(source="transaction"), "source", "'transaction' is not declared; did you mean transactions?"),
        (b.view(entity="card"), "entity", "no field 'card'; did you mean card_id?"),
        (b.view(entity="amount"), "entity", "field amount is a number; string or integer is expected here"),
        (b.view(entity="at"), "entity", "at is the event time: take the field that tells one entity from another"),
        (views(aggregate="sum", of="amuont", over="1h"), "features.f.of", "did you mean amount?"),
        (
            views(aggregate="sum", of="category", over="1h"),
            "features.f.of",
            "sum needs a number, and category is a str",
        ),
        (views(aggregate="last", of="at"), "features.f.of", "at has no declared type: add it to `fields`"),
        (views(aggregate="count", over="60d"), "features.f.over", "longer than the view's ttl"),
        (b.model(scores="transaction"), "scores", "did you mean transactions?"),
        (inputs(fields=["amuont"]), "inputs.fields[0]", "no field 'amuont'; did you mean amount?"),
        (inputs(fields=["amount", "amount"]), "inputs.fields[1]", "stands twice"),
        (inputs(fields=["at"]), "inputs.fields[0]", r"derive from it, such as hour\(at\)"),
        (inputs(fields=["transaction_id"]), "inputs.fields[0]", "has no declared type"),
        (inputs(views=["card_activty"]), "inputs.views[0]", "did you mean card_activity?"),
        (inputs(views=[b.VIEW, b.VIEW]), "inputs.views[1]", "stands twice"),
        (inputs(derived={"d": "amount +"}), "inputs.derived.d", "column 9 of 'amount \\+'"),
        (inputs(derived={"d": "amount * amuont"}), "inputs.derived.d", "column 10 .*did you mean amount?"),
        (inputs(derived={"d": "category * 2"}), "inputs.derived.d", "a text in multiply"),
        (inputs(derived={"d": "card_activity.spend_maen_1h"}), "inputs.derived.d", "card_activity.spend_mean_1h"),
        (
            inputs(views=[], derived={"d": "card_activity.count_24h"}),
            "inputs.derived.d",
            "add card_activity to inputs.v",
        ),
        (inputs(derived={"d": "amount", "e": "d + 1"}), "inputs.derived.e", "do not build on each other"),
        (inputs(derived={"amount": "amount + 1"}), "inputs.derived.amount", "give the derived input another name"),
        (labelled(source="chargeback"), "label.source", "did you mean chargebacks?"),
        (labelled(field="is_fruad"), "label.field", "did you mean is_fraud?"),
        (labelled(joins="transactionid"), "label.joins", "did you mean transaction_id?"),
        (labelled(field="transaction_id"), "label.field", "is a string; a label of task binary is boolean"),
        (labelled(field="chargeback_id"), "label.field", "has no declared type"),
        (labelled(absent=2), "label.absent", "is 0 or 1"),
        (labelled(source=b.SOURCE, field="amount"), "inputs.fields[0]", "is the label: a model must not see it"),
        (trained("gradient_boosting"), "training.search.families[0]", "did you mean hist_gradient_boosting?"),
        (trained("ridge"), "training.search.families[0]", "'ridge' is not known for task binary"),
        (trained(), "training.search.families", "empty"),
        (b.model(monitor={"report": ["absolute_error"]}), "monitor.report[0]", "does not fit task binary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit(definition: Source | FeatureView | Model, where: str, said: str) -> None:
    found = problems(b.definitions(), [definition])

    mine = [p for p in found if (p.kind, p.name, p.where) == (definition.kind, definition.name, where)]
    assert len(mine) == 1, found
    assert re.search(said, mine[0].message), mine[0].message


def test_a_view_of_another_source_is_refused_for_now() -> None:
    other = b.source(name="logins", id="login_id", fields={"card_id": "string", "amount": "number"})
    elsewhere = b.view(name="login_activity", source="logins")
    [problem] = problems(b.definitions(), [other, elsewhere, inputs(views=["login_activity"])])
    assert problem.where == "inputs.views[0]"
    assert problem.message.endswith("declare a view over transactions")


@pytest.mark.parametrize("spec", ["string", "integer", {"type": "string", "optional": True}])
def test_a_view_may_be_by_any_field_that_names_somebody(spec: object) -> None:
    by_shop = b.view(name="shop_activity", entity="shop")
    assert problems(b.definitions(), [b.source(fields={**FIELDS, "shop": spec}), by_shop]) == []


def test_a_field_whose_name_is_too_long_for_a_topics_is_refused_as_an_entity() -> None:
    by_long = b.view(name="shop_activity", entity="s" * 190)
    [problem] = problems(b.definitions(), [b.source(fields={**FIELDS, "s" * 190: "string"}), by_long])
    assert (problem.name, problem.where) == ("shop_activity", "entity")
    assert "too long to name a topic after" in problem.message


def test_a_reference_too_small_for_a_guarantee_is_refused() -> None:
    assert b.model(monitor={"reference_outcomes": 50}).monitor.reference_outcomes == 50
    with pytest.raises(ValidationError, match="reference_outcomes"):
        b.model(monitor={"reference_outcomes": 49})


def test_scored_and_label_source_keep_one_clock() -> None:
    [problem] = problems(b.definitions(), [b.label_source(time={"field": "at", "clock": "wall"})])
    assert (problem.kind, problem.where) == ("Model", "label.source")
    assert "chargebacks keeps clock wall, and transactions, which is scored, keeps events" in problem.message


@pytest.mark.parametrize(
    ("task", "spec", "absent", "fits"),
    [
        ("regression", "number", 0, True),
        ("regression", "boolean", None, False),
        ("regression", "string", None, False),
        ("multiclass", {"type": "string", "enum": ["a", "b"]}, "a", True),
        ("multiclass", {"type": "string", "enum": ["a", "b"]}, "c", False),
        ("multiclass", "integer", "a", False),
        ("binary", "integer", 1, True),
        ("binary", "boolean", 0, True),
    ],
)
def test_labels_by_task(task: str, spec: object, absent: object, fits: bool) -> None:
    labels = b.label_source(fields={"transaction_id": "string", "is_fraud": spec})
    monitor = {"scale": 10} if task == "regression" else {}
    families = {"search": {"families": ["linear"]}}
    model = b.model(task=task, monitor=monitor, training=families, label={**LABEL, "absent": absent})
    found = problems(b.definitions(), [labels, model])
    assert (found == []) is fits, found


def test_all_problems_are_listed_at_once() -> None:
    found = problems(NO_DEFINITIONS, [b.view(entity="card"), b.model(), b.source(key="")])
    assert {(p.kind, p.where) for p in found} == {
        ("Source", "key"),
        ("FeatureView", "entity"),
        ("Model", "label.source"),
    }


def test_a_name_declared_twice_in_one_go_is_refused() -> None:
    found = problems(NO_DEFINITIONS, [*b.declared(), b.source(partitions=2)])
    assert [str(p) for p in found] == [
        "Source transactions: name: declared 2 times: declare it once, or give it another name"
    ]


def test_what_could_not_be_read_is_nobody_elses_problem() -> None:
    unread = frozenset({b.SOURCE, b.VIEW})
    assert problems(NO_DEFINITIONS, [b.label_source(), b.view(name="v"), b.model()], unread) == []
    assert problems(NO_DEFINITIONS, [b.source(), b.label_source(), b.model()], unread) == []


def test_refusals_join_changed_meaning_and_what_does_not_fit() -> None:
    found = refusals(b.definitions(), [b.source(fields={**FIELDS, "amount": "string"})])
    assert {p.kind for p in found} == {"Source", "FeatureView"}


LABEL_FIELDS = {"transaction_id": "row", "chargeback_id": "row", "is_fraud": "fraud == 1"}


def held(**over: object) -> dict[str, object]:
    return {"source": b.LABELS, "fields": LABEL_FIELDS, "hold_back": {"records": 48}, **over}


@pytest.mark.parametrize(
    ("replay", "where", "said"),
    [
        (b.replay(time="row +"), "time", "column 6"),
        (b.replay(fields={"amount": "fee("}), "fields.amount", "column"),
        (b.replay(fields={"amuont": "fee"}), "fields.amuont", "did you mean amount?"),
        (b.replay(fields={"at": "row"}), "fields.at", "say it as `time`"),
        (b.replay(source="transaction", labels=None), "source", "did you mean transactions?"),
        (
            b.replay(labels=held(hold_back={"duration": "11m"})),
            "labels.hold_back.duration",
            r"held back by 11m .*matures_after 10m",
        ),
        (b.replay(labels=held(source="nope")), "labels.source", "'nope' is not declared"),
        (
            b.replay(labels=held(fields={"transaction_id": "row", "is_fraud": "y"})),
            "labels.fields",
            "chargeback_id is missing",
        ),
        (b.replay(labels=held(fields={**LABEL_FIELDS, "at": "row"})), "labels.fields.at", "comes from hold_back"),
    ],
)
def test_a_replay_that_does_not_fit(replay: Replay, where: str, said: str) -> None:
    found = list(replay_problems(replay, b.definitions()))
    assert [p.where for p in found] == [where], found
    assert re.search(said, found[0].message), found[0].message


@pytest.mark.parametrize("hold_back", [{"duration": "10m"}, {"records": 10_000}])
def test_a_delay_within_maturity_or_in_records_is_left_to_the_replay(hold_back: dict[str, object]) -> None:
    assert list(replay_problems(b.replay(labels=held(hold_back=hold_back)), b.definitions())) == []


def test_a_replay_into_a_source_of_the_wall_clock_is_refused() -> None:
    time = {"field": "at"}
    found = list(replay_problems(b.replay(), b.definitions(b.source(time=time), b.label_source(time=time))))
    assert [p.where for p in found] == ["source", "labels.source"]
    assert "clock: events" in found[0].message
