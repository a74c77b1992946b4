"""The control log as every process knows it: which entries count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.contracts.control import TableCopied
from shared.contracts.envelope import Encoded, encode
from shared.runtime.history import ControlHistory, ControlLogGap
from tests import builders as b
from tests.unit.runtime.toy_task import LOG_ID, control_log, entry, history

REGISTRY = "registry/decide/control.v1/0"


def numbered(n: int, version: int = 1) -> Encoded:
    return encode(b.message(b.registered(version), source=REGISTRY, sequence=n, key=b.MODEL))


def taken(*entries: Encoded) -> list[int]:
    """The control positions at which these entries counted, behind the founding and the definitions."""
    known = history()
    for what in entries:
        known.append(entry(what, known.position, "control.v1"))
    return [n + 1 for n, read in enumerate(known.entries) if n >= 2 and read.message is not None]


def test_a_task_counts_by_its_sequence_and_others_once_by_their_id() -> None:
    tick = encode(b.message(b.tick()))
    assert taken(numbered(1), numbered(1), numbered(3), numbered(2, 2), tick, tick) == [3, 6, 7]


def test_an_unreadable_entry_takes_its_number_and_nothing_else() -> None:
    good = numbered(1)
    assert taken(Encoded(good.key, b"{", good.headers), numbered(2), numbered(3)) == [4, 5]


def test_nothing_counts_before_the_founding_and_a_second_one_never() -> None:
    known = ControlHistory()
    for n, event in enumerate([b.tick(), b.founded(LOG_ID), b.founded("another")]):
        known.append(entry(b.message(event), n, "control.v1"))
    assert [read.message is not None for read in known.entries] == [False, True, False]
    assert known.log_id == LOG_ID


def test_positions_count_entries_and_earlier_ones_stay() -> None:
    known = history(b.tick())
    assert [known.at(n).position for n in range(4)] == [0, 1, 2, 3]
    assert not known.at(1).definitions.models
    assert known.at(2).definitions.models
    message = known.entries[1].message
    assert message is not None
    assert known.position_of(message.id) == 2


def test_copies_of_tables_are_known_of_the_newest_platform_only() -> None:
    copied = [
        TableCopied(view=b.VIEW, partition=0, position=n, sequences={}, rows=1, table=b.reference()) for n in (1, 2)
    ]
    known = history(*copied, b.tick())
    assert [copy.position for copy in known.newest.tables[b.VIEW, 0]] == [1, 2]
    assert [known.at(n).tables for n in range(known.position + 1)] == [{}] * 6
    assert known.at(known.position) == replace(known.newest, tables={})


def test_what_was_read_already_is_ignored_and_a_gap_is_an_error() -> None:
    known = history()
    assert known.append(control_log()[0]) is known.entries[0]
    with pytest.raises(ControlLogGap, match="has no entry 2"):
        known.append(entry(numbered(1), 3, "control.v1"))
