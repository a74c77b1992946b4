"""deploy/setup/debian.sh: quiet where the programs are there, else it installs, or says the one command and fails.

It runs with a PATH of its own, so that no package of this machine is touched.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.processes import REPOSITORY

SCRIPT = REPOSITORY / "deploy" / "setup" / "debian.sh"
BY_HAND = {
    "java": "sudo apt-get update && sudo apt-get install --yes --no-install-recommends default-jre-headless maven",
    "prometheus": "sudo apt-get update && sudo apt-get install --yes --no-install-recommends prometheus",
}


class Machine:
    """A PATH that holds sed, and programs that say something and end with a status."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sed = shutil.which("sed")
        assert sed
        (folder / "sed").symlink_to(sed)

    def has(self, program: str, says: str = "", status: int = 0) -> None:
        path = self.folder / program
        called = self.folder / f"{program}.called"
        path.write_text(f"#!/bin/sh\n: > '{called}'\nprintf '%s' '{says}'\nexit {status}\n")
        path.chmod(0o755)

    def called(self, program: str) -> bool:
        return (self.folder / f"{program}.called").exists()

    def ask(self, what: str) -> subprocess.CompletedProcess[str]:
        bash = shutil.which("bash")
        assert bash
        return subprocess.run(
            [bash, SCRIPT, what],
            env={"PATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("what", BY_HAND)
def test_without_the_permission_to_install_it_says_the_command_and_fails(what: str, machine: Machine) -> None:
    machine.has("apt-get")
    machine.has("id", says="1000")
    machine.has("sudo", status=1)
    ran = machine.ask(what)
    assert ran.returncode == 1
    assert "Not root, and sudo asks for a password." in ran.stderr
    assert ran.stderr.splitlines()[-1].strip() == BY_HAND[what]
    assert machine.called("sudo")
    assert not machine.called("apt-get")


@pytest.mark.parametrize("what", BY_HAND)
def test_without_sudo_too(what: str, machine: Machine) -> None:
    machine.has("apt-get")
    machine.has("id", says="1000")
    ran = machine.ask(what)
    assert (ran.returncode, ran.stderr.splitlines()[-1].strip()) == (1, BY_HAND[what])
    assert not machine.called("apt-get")


@pytest.mark.parametrize("what", BY_HAND)
def test_on_another_system_it_says_what_is_missing_and_fails(what: str, machine: Machine) -> None:
    ran = machine.ask(what)
    assert ran.returncode == 1
    assert "There is no apt-get on this machine" in ran.stderr
    assert BY_HAND[what] in ran.stderr


def test_what_is_there_is_left_as_it_is(machine: Machine) -> None:
    machine.has("mvn")
    machine.has("java", says='openjdk version "17.0.9" 2023-10-17')
    machine.has("prometheus")
    machine.has("promtool")
    machine.has("apt-get")
    for what in BY_HAND:
        ran = machine.ask(what)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not machine.called("apt-get")


def test_an_old_java_is_none(machine: Machine) -> None:
    machine.has("mvn")
    machine.has("java", says='openjdk version "11.0.20" 2023-07-18')
    ran = machine.ask("java")
    assert ran.returncode == 1
    assert "Java 17 or newer" in ran.stderr


def test_what_it_does_not_know_it_refuses(machine: Machine) -> None:
    ran = machine.ask("docker")
    assert (ran.returncode, "java | prometheus" in ran.stderr) == (2, True)
