"""docs/deciding.md: its commands take their arguments, its pictures and the code and tests that it names are there."""

from __future__ import annotations

import math
import re
import shlex
from xml.etree import ElementTree

import pytest

from services.monitoring import canary_judge, estimated_quality, residual_allowance
from services.registry import gate
from services.training import fit_job, gate_figures, member_weights, windows
from shared.contracts.contract import Contract
from shared.contracts.definitions import Monitor, Retrain, Rollout, Training
from shared.contracts.watch import WATCHED_OUTCOMES
from tests.benchmarks import decisions
from tests.unit.docs.markdown import DOCS, blocks, rows

TEXT = (DOCS / "deciding.md").read_text()
COMMANDS = [
    *(line for block in blocks(TEXT, "sh") for line in block.splitlines()),
    *re.findall(r"`(make bench-decisions[^`]*)`", TEXT),
]
NAMED = re.findall(r"`((?:tests|shared|services)/[\w/]+\.py)(?:::(\w+))?`", TEXT)
SETTINGS: dict[str, type[Contract]] = {"monitor": Monitor, "retrain": Retrain, "training": Training, "rollout": Rollout}


def anchor(heading: str) -> str:
    """As a viewer of Markdown makes it."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_command_is_there_and_takes_its_arguments() -> None:
    assert len(COMMANDS) >= 2
    for command in COMMANDS:
        make, target, *given = shlex.split(command)
        assert (make, target) == ("make", "bench-decisions")
        [args] = given or ["ARGS="]
        assert decisions.options().parse_args(shlex.split(args.removeprefix("ARGS="))).only


def test_every_picture_is_there_and_every_one_that_is_there_is_shown() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((figures/[\w-]+\.svg)\)", TEXT)
    assert {f"figures/{file.name}" for file in (DOCS / "figures").glob("*.svg")} == set(shown)
    for name in shown:
        assert ElementTree.parse(DOCS / name).getroot().tag.endswith("svg")


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_every_file_of_code_and_every_test_that_is_named_is_there(file: str, name: str) -> None:
    code = (DOCS.parent / file).read_text()
    assert not name or re.search(rf"^\s*def {name}\b", code, re.MULTILINE), f"{file} has no {name}"


def test_the_overview_leads_to_every_chapter_and_links_within_the_document_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    linked = re.findall(r"\]\((#[\w-]+)\)", TEXT)
    assert set(linked) <= {anchor(heading) for heading in headings}
    chapters = [anchor(heading) for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)]
    overview = [row.cells[0].partition("](")[2].strip(")") for row in rows(TEXT) if row.heading == "Deciding"]
    assert overview == [chapter for chapter in chapters if chapter != "#beside-adwin"]


@pytest.mark.parametrize("section", SETTINGS)
def test_the_settings_that_it_explains_are_those_of_a_definition(section: str) -> None:
    table = [row.cells[0] for row in rows(TEXT) if row.heading == f"Settings of `{section}`"]
    named = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    assert named
    assert named <= {*SETTINGS[section].model_fields}


def test_its_numbers_are_those_of_the_code() -> None:
    told, limits = " ".join(TEXT.split()), canary_judge.Limits()
    for said in (
        f"at {residual_allowance.ALLOWANCE:g} times the run length",
        f"newest {estimated_quality.ROWS} scored records",
        f"fewer than {estimated_quality.FEWEST} records have come",
        f"at most the newest {fit_job.MOST_ROWS:,}",
        f"shorter than {windows.LEAST_WINDOW} rows",
        f"an eighth of all, at most {windows.JUDGING_ROWS}",
        f"blocks of {windows.BLOCK_ROWS} rows",
        f"until that makes {windows.BLOCK_ROWS * windows.LEAST_BLOCKS}",
        "at most eight, in one file",
        f"as long as {gate_figures.LEAST_UNSEEN} others remain",
        f"on at least {gate.ENOUGH_ROWS} rows",
        f"more than {limits.candidate_grace} failures of the candidate and more than {limits.candidate_share:.0%} of",
        f"more than {limits.any_grace} pairs left out and more than a fifth",
        f"bets λ of {', '.join(map(str, canary_judge.BETS[:-1]))} and {canary_judge.BETS[-1]}",
        f"at least {WATCHED_OUTCOMES} outcomes and the former lost less",
    ):
        assert said.replace(" %", "%") in told.replace(" %", "%"), said
    assert (member_weights.MOST_MEMBERS, limits.any_share) == (8, 0.2)
    one, two, four = (f"{math.exp(-((errors / member_weights.DEVIATION) ** 2) / 2):.2f}"[1:] for errors in (1, 2, 4))
    assert f"{one} as much at one standard error, {two} at two, {four} at four" in told
    assert f"less than {member_weights.LEAST_SHARE:.2f}".replace("0.", ".") + " as much is left out" in told
    assert windows.SHORT == (0.5, 2.0)
    assert "the newest half of `minimum_rows`, the newest twice `minimum_rows`" in told


def test_a_figure_that_is_still_to_be_filled_in_names_its_part() -> None:
    for name in re.findall(r"\{\{(.*?)\}\}", TEXT, re.DOTALL):
        assert name == "commit" or name.partition(": ")[0] in decisions.PARTS, name
