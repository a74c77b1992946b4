"""Definition files: taken whole, or refused whole with every problem at its line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from shared.contracts.definitions import Model, Source
from shared.contracts.errors import DefinitionsInvalid
from shared.runtime.definition_files import LoadedDefinitions, load
from tests import builders as b

GOOD = """\
kind: Source
name: transactions
key: card_id
id: transaction_id
time: {field: at, allowed_lateness: 1m, clock: events}
fields:
  card_id: string
  amount: {type: number, minimum: 0}
  on: {type: string, enum: [yes, no, off, 2026-11-21, 1:30]}
partitions: 4
---
kind: Source
name: chargebacks
key: transaction_id
id: chargeback_id
time: {field: at, clock: events}
fields: {transaction_id: string, is_fraud: boolean}
---
kind: FeatureView
name: card_activity
source: transactions
entity: card_id
features:
  count_24h: {aggregate: count, over: 24h}
---
kind: Model
name: card_fraud
scores: transactions
task: binary
inputs: {fields: [amount, on], derived: {ratio: "amount / (card_activity.count_24h + 1)"}, views: [card_activity]}
label: {source: chargebacks, field: is_fraud, joins: transaction_id, matures_after: 10m, expires_after: 1d, absent: 0}
monitor: {expected_run_length: 1e6}
---
kind: Replay
name: history
source: transactions
fields: {transaction_id: row}
time: parse_time(day, '%Y%m%d') + hours(hr)
"""
NAMED = "a name of a-z, 0-9 and _ that begins with a letter"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "definitions.yaml"


def written(file: Path, text: str) -> LoadedDefinitions:
    file.write_text(dedent(text), encoding="utf-8")
    return load(file)


def refused(file: Path, text: str) -> list[str]:
    with pytest.raises(DefinitionsInvalid) as raised:
        written(file, text)
    assert str(raised.value).endswith("nothing was put in force; mend the definitions and try again")
    return [problem.removeprefix(f"{file}:") for problem in raised.value.problems]


def test_a_file_of_several_documents(file: Path) -> None:
    loaded = written(file, GOOD)
    assert [(d.kind, d.name) for d in loaded.published] == [
        ("Source", "transactions"),
        ("Source", "chargebacks"),
        ("FeatureView", "card_activity"),
        ("Model", "card_fraud"),
    ]
    assert [replay.name for replay in loaded.replays] == ["history"]


def test_words_and_dates_are_texts_as_written(file: Path) -> None:
    source, *_, model = written(file, GOOD).published
    assert isinstance(source, Source)
    assert isinstance(model, Model)
    assert source.fields["on"].enum == ("yes", "no", "off", "2026-11-21", "1:30")
    assert model.monitor.expected_run_length == 1_000_000


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            changed("partitions: 4", "partition: 4"),
            "10: Source transactions: partition: not a field here; did you mean partitions?",
        ),
        (
            changed("allowed_lateness", "alowed_lateness"),
            "5: Source transactions: time.alowed_lateness: not a field here; did you mean allowed_lateness?",
        ),
        (
            changed("partitions: 4", "partitions: 0"),
            "10: Source transactions: partitions: found 0, expected a whole number at least 1 and at most 256",
        ),
        (
            changed("amount: {type: number, minimum: 0}", "amount: decimal"),
            "8: Source transactions: fields.amount: found 'decimal', "
            "expected string, number, integer, boolean or a mapping",
        ),
        (
            changed("[yes, no, off, 2026-11-21, 1:30]", "[yes, true]"),
            "9: Source transactions: fields.on.enum[1]: found true, expected a text; put it in quotes",
        ),
        (
            changed("allowed_lateness: 1m", "allowed_lateness: soon"),
            "5: Source transactions: time.allowed_lateness: "
            "expected a duration such as 250ms, 30s, 10m, 1h, 7d or 2y, found 'soon'",
        ),
        (changed("id: chargeback_id\n", ""), "12: Source chargebacks: id: missing; expected a text"),
        (
            changed("name: card_fraud", "name: CardFraud"),
            f"27: Model CardFraud: name: found 'CardFraud', expected {NAMED}",
        ),
        (
            changed("count_24h: {", "24h: {"),
            f"24: FeatureView card_activity: features.24h: found the key '24h', expected {NAMED}",
        ),
        (
            changed("{aggregate: count, over: 24h}", "{aggregate: count}"),
            "24: FeatureView card_activity: features.count_24h: count needs `over`: the window, such as 1h",
        ),
        (
            changed("task: binary", "task: binry"),
            "29: Model card_fraud: task: found 'binry', expected binary, multiclass, regression",
        ),
        (
            changed("monitor: {expected_run_length: 1e6}", "training: {window: newest}"),
            "32: Model card_fraud: training.window: found 'newest', expected auto, all or a whole number at least 50",
        ),
        (
            changed("absent: 0", "absent: [0]"),
            "31: Model card_fraud: label.absent: found a list, expected a number or a text",
        ),
        (
            changed("monitor: {expected_run_length: 1e6}", "monitor: {expected_run_length: .nan}"),
            "32: Model card_fraud: monitor.expected_run_length: found nan, expected a finite number",
        ),
        (
            changed("fields: [amount, on]", "fields: [amuont, on]"),
            "30: Model card_fraud: inputs.fields[0]: source transactions has no field 'amuont'; did you mean amount?",
        ),
        (
            changed("amount / (", "amount / / ("),
            "30: Model card_fraud: inputs.derived.ratio: column 10 of 'amount / / (card_activity.count_24h + 1)': "
            "found no expression (invalid syntax); allowed are ",
        ),
        (
            changed("source: transactions\nfields: {transaction_id: row}", "source: transaction"),
            "36: Replay history: source: source 'transaction' is not declared; did you mean transactions?",
        ),
        (
            changed("kind: Replay", "kind: Reply"),
            "34: history: found kind 'Reply', expected Source, FeatureView, Model, Replay; did you mean Replay?",
        ),
        (
            changed("kind: Replay\n", ""),
            "34: history: kind is missing, expected Source, FeatureView, Model, Replay; "
            "known are FeatureView, Model, Replay, Source",
        ),
        (
            GOOD + "time: row\n",
            "39: time stands here a second time, first in line 38",
        ),
        (
            GOOD + "---\n- 1\n",
            "40: found [1], expected a mapping that begins with kind: Source|FeatureView|Model|Replay",
        ),
        (
            GOOD + "block: {1\n",
            "40: no YAML: while parsing a flow mapping, expected ',' or '}', but got '<stream end>'",
        ),
        (
            GOOD + "block: !!python/object:os.system {}\n",
            "39: the tag tag:yaml.org,2002:python/object:os.system is not",
        ),
        (GOOD + "block: !!int x\n", "39: 'x' does not fit the tag tag:yaml.org,2002:int: write plain values"),
        (GOOD + "? [a]\n: 1\n", "39: a list or a mapping as a key: a key is a plain text"),
        (GOOD + "labels: &self {fields: *self}\n", "39: nested more than 40 deep, or an alias within itself"),
    ],
    ids=lambda value: value[:60] if not value.startswith("kind:") else "",
)
def test_a_problem_is_said_at_its_line(file: Path, text: str, problem: str) -> None:
    found = refused(file, text)
    assert [line[: len(problem)] for line in found] == [problem]


def test_every_problem_is_listed_in_the_order_of_the_file(file: Path) -> None:
    text = changed("key: card_id", "key: amount").replace("task: binary", "task: 5").replace("clock: events", "clok: x")
    found = refused(file, text)
    assert [line.split(":")[0] for line in found] == ["5", "16", "29"]


def test_a_definition_that_cannot_be_read_is_no_problem_of_those_that_name_it(file: Path) -> None:
    assert len(refused(file, changed("key: card_id", "kee: card_id"))) == 2


def test_definitions_may_refer_to_those_in_force(file: Path) -> None:
    file.write_text(
        "kind: FeatureView\nname: v\nsource: transactions\nentity: card_id\nfeatures: {n: {aggregate: count, over: 1h}}"
    )
    with pytest.raises(DefinitionsInvalid, match=r"definitions.yaml:3: FeatureView v: source"):
        load(file)
    assert len(load(file, b.definitions()).published) == 1


def test_a_change_of_meaning_is_refused_at_its_line(file: Path) -> None:
    file.write_text(GOOD)
    with pytest.raises(
        DefinitionsInvalid, match=r"definitions.yaml:10: Source transactions: partitions: changed from 1"
    ):
        load(file, b.definitions())


def test_a_problem_of_what_stands_elsewhere_has_no_line(file: Path) -> None:
    in_force = b.definitions()
    file.write_text(
        "kind: Source\nname: logins\ntopic: transactions\nkey: a\nid: b\ntime: {field: at}\nfields: {c: string}"
    )
    with pytest.raises(
        DefinitionsInvalid, match=r"yaml:3: Source logins: topic: .* already that of source transactions"
    ):
        load(file, in_force)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "no definitions: expected documents of kind Source, FeatureView, Model, Replay"),
        (b"# nothing yet\n---\n", "no definitions"),
        (b"name: \xff", "no UTF-8 text: byte 6"),
        (b"name: \x07", "no YAML"),
        (b"[" * 20_000, "nested more than 40 deep"),
    ],
)
def test_a_file_that_is_none(file: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DefinitionsInvalid, match=said):
        load(file)


def test_aliases_that_would_grow_without_bound_are_refused(file: Path) -> None:
    lines = [
        "a0: &a0 [x, x, x, x, x, x, x, x]",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 9)),
    ]
    [problem] = refused(file, "\n".join(lines))
    assert "more than 100000 values in one document" in problem


def test_an_anchor_ends_with_its_document(file: Path) -> None:
    text = GOOD.replace("time: {field: at, clock: events}", "time: *t").replace(
        "time: {field: at, a", "time: &t {field: at, a"
    )
    assert "undefined alias" in refused(file, text)[0]
