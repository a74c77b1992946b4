"""Who owns which task, and how instances know each other."""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime import folder_members
from shared.runtime.folder_members import FolderMembers, InstanceTaken
from shared.runtime.full_disks import DiskFull
from shared.runtime.ownership import Members, owners
from tests import builders as b
from tests.eventually import eventually
from tests.unit.deploy.processes import python

NAMES = st.lists(st.text("abc0123", min_size=1, max_size=4), min_size=1, max_size=6, unique=True).map(
    lambda names: tuple(sorted(names))
)


@given(NAMES, st.integers(1, 24))
def test_nobody_has_more_than_a_share_of_a_topic(names: tuple[str, ...], partitions: int) -> None:
    found = owners("records.clicks.v1", partitions, names)
    assert len(found) == partitions
    assert set(found) <= set(names)
    assert max(Counter(found).values()) <= -(-partitions // len(names))


def test_tasks_spread_over_the_topics_as_well() -> None:
    first = [owners(f"outcomes.m{n}.v1", 1, ("0", "1", "2"))[0] for n in range(300)]
    assert min(Counter(first).values()) > 60


def test_few_partitions_move_when_an_instance_comes_or_goes() -> None:
    moved = [
        sum(one != other for one, other in zip(owners(t, 12, ("0", "1")), owners(t, 12, ("0", "1", "2")), strict=True))
        for t in (f"records.s{n}.v1" for n in range(50))
    ]
    # Four of twelve must; all that the hashing of names modulo their number would move are eight.
    assert sum(moved) / len(moved) < 6


def test_a_former_owner_counts_while_it_is_there() -> None:
    definitions = b.definitions()
    spec = next(task for task in definitions.tasks if task.step == "join")
    alone = Members("1", ("0",))
    assert alone.owner(spec, definitions) == "0"
    assert alone.former_owner(spec, definitions) is None
    assert Members("2", ("0", "1"), ("0",)).former_owner(spec, definitions) == "0"
    assert Members("3", ("1",), ("0",)).former_owner(spec, definitions) is None


# --- a folder


def test_instances_in_a_folder_know_each_other(tmp_path: Path) -> None:
    first = FolderMembers(tmp_path, "0")
    assert first.members().names == ("0",)
    assert first.members().before == ()
    second = FolderMembers(tmp_path, "1")
    joined = second.members()
    assert (joined.names, joined.before) == (("0", "1"), ("0",))
    eventually(lambda: first.members().id == joined.id, 5, "the first has seen the second")
    assert first.members() == joined
    second.leave()
    eventually(lambda: first.members().names == ("0",), 5, "the second is gone")
    first.leave()


def test_the_same_names_again_are_another_membership(tmp_path: Path) -> None:
    first, second = FolderMembers(tmp_path, "0"), FolderMembers(tmp_path, "1")
    eventually(lambda: len(first.members().names) == 2, 5, "both")
    before = first.members().id
    second.leave()
    again = FolderMembers(tmp_path, "1")
    eventually(lambda: first.members().id == again.members().id, 5, "both again")
    assert first.members().id != before
    again.leave()
    first.leave()


def test_two_processes_cannot_be_one_instance(tmp_path: Path) -> None:
    first = FolderMembers(tmp_path, "0")
    with pytest.raises(InstanceTaken, match="HEADRACE_INSTANCE"):
        FolderMembers(tmp_path, "0")
    first.leave()


def test_an_instance_waits_for_room_for_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> BinaryIO:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folder_members, "_taken", full)
        members = FolderMembers(tmp_path, "0")
        with pytest.raises(DiskFull, match=r"its place among the instances of its service: .*0\.lock"):
            members.members()
    assert members.members().names == ("0",)
    members.leave()


def test_a_killed_instance_is_gone_and_a_frozen_one_is_not(tmp_path: Path) -> None:
    other = python(
        "import sys, time; from pathlib import Path; from shared.runtime.folder_members import FolderMembers\n"
        "members = FolderMembers(Path(sys.argv[1]), '1'); print('there', flush=True); time.sleep(60)",
        tmp_path,
    )
    assert other.stdout is not None
    with other.stdout:
        assert other.stdout.readline() == "there\n"
    first = FolderMembers(tmp_path, "0")
    assert first.members().names == ("0", "1")
    os.kill(other.pid, signal.SIGSTOP)
    with pytest.raises(AssertionError):
        eventually(lambda: first.members().names == ("0",), 0.5, "a frozen instance keeps its place")
    other.kill()
    other.wait()
    eventually(lambda: first.members().names == ("0",), 5, "the killed one is gone")
    first.leave()
